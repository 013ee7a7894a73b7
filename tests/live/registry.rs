//! Schemas in a real registry (Apicurio, by the interface of Confluent's).

use relay::failure::{Class, Failure};
use relay::format::dts_avro;
use relay::format::registry::{Patience, Registry, RegistryError, RegistryOptions, SubjectStrategy};

use crate::support::fresh;
use crate::support::servers::{Servers, shared};

fn options(servers: &Servers) -> RegistryOptions {
    toml::from_str(&format!("url = {:?}", servers.get("REGISTRY_URL"))).expect("settings")
}

fn registry(options: &RegistryOptions) -> Registry {
    Registry::new(options, Patience::default()).expect("settings")
}

#[test]
fn the_avro_schema_is_registered_found_and_the_same_everywhere() {
    let servers = shared(&["registry"]);
    let options = options(&servers);
    let looking = RegistryOptions { register: false, ..options.clone() };
    let topic = fresh("a/b topic");
    let subject = registry(&options).subject(&topic, dts_avro::SCHEMA_NAME);
    let unknown = registry(&looking).id(&subject, dts_avro::SCHEMA).expect_err("nobody registered it");
    assert!(matches!(unknown, RegistryError::Unknown { .. }), "{unknown}");
    let id = registry(&options).id(&subject, dts_avro::SCHEMA).expect("an id");
    // A relay that starts again, and one that may only look, get the same.
    assert_eq!(registry(&options).id(&subject, dts_avro::SCHEMA).expect("an id"), id);
    assert_eq!(registry(&looking).id(&subject, dts_avro::SCHEMA).expect("an id"), id);
    for strategy in [SubjectStrategy::Record, SubjectStrategy::TopicRecord] {
        let other = registry(&RegistryOptions { subject: strategy, ..options.clone() });
        let subject = other.subject(&topic, dts_avro::SCHEMA_NAME);
        assert_eq!(other.id(&subject, dts_avro::SCHEMA).expect("an id"), id, "{subject}");
    }
}

#[test]
fn another_schema_in_the_subject_and_one_that_is_none_are_refused() {
    let servers = shared(&["registry"]);
    let registry = registry(&options(&servers));
    let subject = format!("{}-value", fresh("taken"));
    registry.id(&subject, r#"{"type":"record","name":"Other","fields":[]}"#).expect("an id");
    let asked = ureq::put(format!("{}/config/{subject}", registry.url()))
        .header("Content-Type", "application/json")
        .send(r#"{"compatibility":"FULL"}"#);
    assert!(asked.expect("the registry answers").status().is_success(), "the subject asks for compatible schemas");
    let fresh_registry = Registry::new(&options(&servers), Patience::default()).expect("settings");
    let refused = fresh_registry.id(&subject, dts_avro::SCHEMA).expect_err("incompatible");
    assert!(matches!(refused, RegistryError::Refused { status: 409, .. }), "{refused}");
    assert_eq!(refused.class(), Class::Definite);
    let invalid = registry.id(&format!("{}-value", fresh("none")), r#"{"type":"nonsense"}"#).expect_err("no schema");
    assert!(matches!(invalid, RegistryError::Refused { status: 422, .. }), "{invalid}");
}

#[test]
fn tls_asks_for_the_authority_and_a_wrong_path_is_told() {
    let servers = shared(&["registry"]);
    let subject = format!("{}-value", fresh("tls"));
    let url = servers.get("REGISTRY_SSL_URL").to_owned();
    let stranger = RegistryOptions { url, ..options(&servers) };
    let error = registry(&stranger).id(&subject, dts_avro::SCHEMA).expect_err("nobody vouches for it");
    assert!(matches!(error, RegistryError::Certificate { .. }), "{error}");
    let known = RegistryOptions { ca_file: Some(servers.get("REGISTRY_CA").into()), ..stranger };
    let id = registry(&known).id(&subject, dts_avro::SCHEMA).expect("an id");
    assert_eq!(registry(&options(&servers)).id(&subject, dts_avro::SCHEMA).expect("an id"), id);
    let root = servers.get("REGISTRY_URL").trim_end_matches("/apis/ccompat/v7").to_owned();
    for register in [true, false] {
        let astray = RegistryOptions { url: root.clone(), register, ..options(&servers) };
        let error = registry(&astray).id(&subject, dts_avro::SCHEMA).expect_err("no registry there");
        assert!(matches!(error, RegistryError::Answer { .. }), "{error}");
        assert!(error.next_step().is_some_and(|step| step.contains("/apis/ccompat/v7")));
    }
}
