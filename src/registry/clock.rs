//! What time it is at the least: boards without a battery wake up in 1970, where no certificate is
//! valid yet.

use crate::time::Time;

/// When this version was made. It moves with each release; a build does not ask its own clock, so that
/// the same sources give the same bytes. Builders that set SOURCE_DATE_EPOCH may say better.
const RELEASED: u64 = 1_795_824_000; // 2026-11-28

/// The later of the build and of `newest`, the newest record of the store.
pub fn floor(newest: Time) -> Time {
    let told = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    let built = Time {
        seconds: RELEASED.max(told.unwrap_or(0)),
        nanos: 0,
    };
    built.max(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_later_of_build_and_store() {
        let at = |seconds| Time { seconds, nanos: 0 };
        let built = floor(at(0));
        assert!(built.rfc3339().starts_with("20"), "{}", built.rfc3339());
        assert!(built >= Time::parse("2026-11-28T00:00:00Z").unwrap());
        assert_eq!(floor(at(1)), built);
        assert_eq!(floor(at(built.seconds + 1)), at(built.seconds + 1));
    }
}
