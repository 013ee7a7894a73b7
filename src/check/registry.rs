//! `kafka.registry`: whether the schema registry of a delivery answers, and takes its schema.

use super::Item;
use crate::failure::{Class, Failure};
use crate::format::dts_avro::{SCHEMA, SCHEMA_NAME};
use crate::format::registry::{Patience, Registry, RegistryError, RegistryOptions, Standing};

const ID: &str = "kafka.registry";
/// Subjects that are asked about: of more, the first.
const SUBJECTS_MAX: usize = 20;

/// The item of a registry; `topics` are those that are known now. Nothing is registered.
pub(super) async fn item(options: &RegistryOptions, topics: &[String]) -> Item {
    let (options, topics) = (options.clone(), topics.to_vec());
    let asked = tokio::task::spawn_blocking(move || ask(&options, &topics)).await;
    match asked {
        Ok(answer) => judge(answer),
        Err(error) => Item::fail(ID, format!("the question ended: {error}"), "ask again"),
    }
}

/// How the schema stands with each subject, and where the registry is.
fn ask(options: &RegistryOptions, topics: &[String]) -> Result<(String, Vec<Standing>), RegistryError> {
    let registry = Registry::new(options, Patience::default())?;
    let mut subjects: Vec<String> = topics.iter().map(|topic| registry.subject(topic, SCHEMA_NAME)).collect();
    subjects.dedup();
    subjects.truncate(SUBJECTS_MAX);
    if subjects.is_empty() {
        // Of no topic yet: what matters is that it answers, so that nothing there is no error.
        return match registry.standing(&registry.subject("relay", SCHEMA_NAME), SCHEMA) {
            Ok(_) | Err(RegistryError::Unknown { .. } | RegistryError::Refused { .. }) => {
                Ok((registry.url().to_owned(), Vec::new()))
            }
            Err(error) => Err(error),
        };
    }
    let standings = subjects.iter().map(|subject| registry.standing(subject, SCHEMA)).collect::<Result<_, _>>()?;
    Ok((registry.url().to_owned(), standings))
}

fn judge(answer: Result<(String, Vec<Standing>), RegistryError>) -> Item {
    match answer {
        Ok((url, standings)) => {
            let count = |which: fn(&Standing) -> bool| standings.iter().filter(|standing| which(standing)).count();
            let registered = count(|standing| matches!(standing, Standing::Registered(_)));
            let finding = match (standings.len(), standings.len() - registered) {
                (0, _) => format!("{url} answers; subjects are known when their tables come"),
                (all, 0) => format!("{url} has the schema under all {all} subjects"),
                (all, new) => {
                    format!("{url} has the schema under {registered} of {all} subjects and takes it for {new}")
                }
            };
            Item::pass(ID, finding)
        }
        Err(error) => {
            let remedy = error.next_step().unwrap_or_else(|| "see that the registry runs at registry.url".to_owned());
            let item = Item::fail(ID, error.to_string(), remedy);
            if error.class() == Class::Transient { item.unreachable() } else { item }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    #[test]
    fn a_registry_passes_when_it_takes_the_schema_and_fails_with_the_next_step() {
        let found = |standings: &[Standing]| judge(Ok(("http://r".to_owned(), standings.to_vec())));
        for standings in [&[][..], &[Standing::New], &[Standing::Registered(7), Standing::Fits]] {
            assert_eq!(found(standings).level, Level::Pass);
        }
        assert!(found(&[Standing::Registered(7), Standing::New]).finding.contains("1 of 2 subjects"));
        let refused = RegistryError::Refused { status: 409, subject: "t-value".into(), message: "other".into() };
        let item = judge(Err(refused));
        assert!(item.level == Level::Fail && !item.unreachable && item.remedy.contains("t-value"), "{item:?}");
        let denied = RegistryError::Denied { status: 401, subject: "t-value".into(), message: String::new() };
        assert!(judge(Err(denied)).remedy.contains("registry.username"));
        let away = judge(Err(RegistryError::Unreachable { url: "http://r".into(), reason: "refused".into() }));
        assert!(away.level == Level::Fail && away.unreachable && !away.remedy.is_empty(), "{away:?}");
    }
}
