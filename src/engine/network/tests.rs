use super::*;

#[test]
fn a_network_is_found_by_its_name_and_by_the_beginning_of_its_id() {
    let mut networks = Networks::default();
    for (name, driver) in [("host", "host"), ("none", "null")] {
        let network = Network::of(defaults::built_in(name, driver));
        assert!(network.is_built_in() && !network.is_default_bridge());
        networks.all.push(Arc::new(network));
    }
    let find = |name: &str| match networks.find(name) {
        Ok(network) => network.driver.clone(),
        Err(error) => error.message.clone(),
    };
    assert_eq!(find("none"), "null");
    assert_eq!(find(&id("host")), "host");
    assert_eq!(find(&id("host")[..12]), "host");
    assert_eq!(find("nowhere"), "network nowhere not found");
    assert_eq!(find(""), "network  not found");
}
