//! Weights of cgroup v1 as those of v2, in runc's way.

use crate::error::{Error, Result};

/// v1's shares (2 to 262144, default 1024) as v2's weight (1 to 10000, default 100).
///
/// The curve is runc's since 1.3.2: quadratic in the logarithm, so that both defaults and both
/// ends meet; the linear formula before it made 39 of 1024. In whole numbers (a weight in 4000
/// differs from runc's, by one), because libc's log2 and pow are 11 kB of tables.
pub fn of_shares(shares: u64) -> u64 {
    const LOG2_OF_10: u64 = 55_732_705;
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = log2(shares);
            let exponent = (log * log / ONE + 125 * log) / 612 - 7 * ONE / 34;
            least_with_log2(exponent * LOG2_OF_10 / ONE)
        }
    }
}

/// The scale of the fixed-point numbers here.
const ONE: u64 = 1 << 24;

/// The logarithm, scaled by `ONE`: each squaring of the rest moves out another binary digit.
fn log2(value: u64) -> u64 {
    let whole = value.ilog2();
    let mut rest = value << 31 >> whole;
    let mut log = u64::from(whole);
    for _ in 0..ONE.ilog2() {
        rest = (rest * rest) >> 31;
        let digit = rest >> 32;
        rest >>= digit;
        log = (log << 1) | digit;
    }
    log
}

fn least_with_log2(wanted: u64) -> u64 {
    let (mut low, mut high) = (1, 10_000);
    while low < high {
        let middle = u64::midpoint(low, high);
        if log2(middle) < wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// blkio's weight (10 to 1000) as that of `io.weight` (1 to 10000), linearly.
pub fn of_block_io(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}

pub fn check_block_io(weight: u16) -> Result<()> {
    match weight {
        10..=1000 => Ok(()),
        _ => Err(Error::invalid(format!(
            "linux.resources.blockIO.weight is {weight}: 10 to 1000 are possible"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_the_defaults_of_shares_and_weight_meet() {
        let pairs = [
            (1, 1),
            (2, 1),
            (3, 2),
            (100, 17),
            (512, 59),
            (1024, 100),
            (2048, 174),
        ];
        for (shares, expected) in pairs {
            assert_eq!(of_shares(shares), expected, "{shares}");
        }
        assert_eq!(of_shares(262_144), 10_000);
        assert!(
            (2..262_144)
                .step_by(997)
                .all(|shares| of_shares(shares) <= of_shares(shares + 997))
        );
    }

    #[test]
    fn the_ends_of_block_weights_meet() {
        for (weight, expected) in [(10, 1), (100, 910), (500, 4950), (1000, 10_000)] {
            assert_eq!(of_block_io(weight), expected, "{weight}");
        }
        for bad in [1, 9, 1001] {
            assert!(check_block_io(bad).is_err(), "{bad}");
        }
    }
}
