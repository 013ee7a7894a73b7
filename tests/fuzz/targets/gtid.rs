//! GTID sets and positions, as text and as bytes.

use relay::binlog::gtid::{GtidSet, MariadbPosition};

pub fn run(data: &[u8]) {
    if let Ok(set) = GtidSet::decode(data) {
        round_trip(&set);
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(set) = text.parse::<GtidSet>() {
        round_trip(&set);
    }
    if let Ok(position) = text.parse::<MariadbPosition>() {
        assert_eq!(position.to_string().parse(), Ok(position));
    }
}

fn round_trip(set: &GtidSet) {
    assert_eq!(&set.to_string().parse::<GtidSet>().unwrap(), set);
    let mut bytes = Vec::new();
    set.encode(&mut bytes);
    assert_eq!(&GtidSet::decode(&bytes).unwrap(), set);
    let mut both = set.clone();
    both.union(set);
    assert_eq!(&both, set);
    assert!(set.is_subset(&both) && set.difference(set).is_empty());
}
