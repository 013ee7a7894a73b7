use super::*;

fn collation(name: &str, charset: &str) -> Collation {
    let charset = Charset::of_name(charset).expect("a character set");
    Collation::of_name(name, charset).unwrap_or_else(|| panic!("{name} is known"))
}

fn order(name: &str, left: &str, right: &str) -> Ordering {
    let charset = name.split('_').next().expect("a name");
    let order = collation(name, charset).compare(left, right);
    assert_eq!(collation(name, charset).compare(right, left), order.reverse(), "{name} {left:?} {right:?}");
    order
}

#[test]
fn each_family_orders_text_in_its_own_way() {
    use Ordering::*;
    for (name, left, right, expected) in [
        ("utf8mb4_general_ci", "ABC", "abc", Equal),
        ("utf8mb4_general_ci", "ä", "A", Equal),
        ("utf8mb4_general_ci", "ß", "ss", Less),
        ("utf8mb4_general_ci", "ß", "s", Equal),
        ("utf8mb4_general_ci", "😀", "😁", Equal),
        ("utf8mb4_unicode_ci", "ß", "ss", Equal),
        ("utf8mb4_unicode_ci", "😀", "😁", Equal),
        ("utf8mb4_unicode_520_ci", "😀", "😁", Less),
        ("utf8mb4_bin", "A", "a", Less),
        ("utf8mb4_bin", "\u{ffff}", "😀", Less),
        ("utf8mb4_0900_ai_ci", "Résumé", "resume", Equal),
        ("utf8mb4_0900_as_ci", "Résumé", "résumé", Equal),
        ("utf8mb4_0900_as_ci", "Résumé", "resume", Greater),
        ("utf8mb4_0900_as_cs", "Résumé", "résumé", Greater),
        ("utf8mb4_uca1400_ai_ci", "Résumé", "resume", Equal),
        ("utf8mb4_uca1400_as_cs", "a", "A", Less),
        ("utf8mb3_general_ci", "É", "e", Equal),
        ("latin1_swedish_ci", "Y", "ü", Equal),
        ("latin1_bin", "é", "z", Greater),
        ("gbk_chinese_ci", "啊", "吧", Less),
        ("cp1251_general_ci", "Ж", "ж", Equal),
    ] {
        assert_eq!(order(name, left, right), expected, "{name} {left} {right}");
    }
}

#[test]
fn trailing_spaces_count_where_a_collation_says_so() {
    for name in
        ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_bin", "utf8mb4_uca1400_as_cs", "latin1_swedish_ci"]
    {
        assert_eq!(order(name, "a", "a  "), Ordering::Equal, "{name}");
        assert_eq!(order(name, "a\t", "a"), Ordering::Less, "{name}");
        assert_eq!(order(name, "ab", "a "), Ordering::Greater, "{name}");
    }
    for name in ["utf8mb4_0900_ai_ci", "utf8mb4_0900_bin", "utf8mb4_general_nopad_ci", "utf8mb4_nopad_bin"] {
        assert_eq!(order(name, "a", "a "), Ordering::Less, "{name}");
    }
}

#[test]
fn what_is_not_known_exactly_is_not_known() {
    for (name, charset) in [
        ("utf8mb4_0900_ai_cs", "utf8mb4"),
        ("utf8mb4_de_pb_0900_ai_ci", "utf8mb4"),
        ("utf8mb4_spanish_ci", "utf8mb4"),
        ("latin1_german2_ci", "latin1"),
        ("ujis_japanese_ci", "ujis"),
        ("utf16_bin", "utf16"),
        ("utf8mb4_general_ci", "latin1"),
        ("binary", "binary"),
    ] {
        assert!(Collation::of_name(name, Charset::of_name(charset).expect("a set")).is_none(), "{name}");
    }
}

#[test]
fn like_compares_character_by_character() {
    let alike = |name: &str, a, b| collation(name, name.split('_').next().expect("a name")).alike(a, b);
    assert!(alike("utf8mb4_general_ci", 'ä', 'A'));
    assert!(alike("utf8mb4_general_ci", '😀', '😁'));
    assert!(!alike("utf8mb4_unicode_ci", '😀', '😁'));
    assert!(!alike("utf8mb4_bin", 'a', 'A'));
    assert!(!alike("utf8mb4_0900_as_ci", 'e', 'é'));
    assert!(alike("gbk_chinese_ci", 'a', 'A'));
}

#[test]
fn case_follows_the_collation_and_the_servers_own_way_of_writing() {
    let general = collation("utf8mb4_general_ci", "utf8mb4");
    assert_eq!(general.with_case("aÉß".into(), true, true), "AÉß");
    assert!(matches!(general.with_case("abc".into(), false, true), Cow::Borrowed("abc")));
    let newer = collation("utf8mb4_0900_ai_ci", "utf8mb4");
    assert_eq!(newer.with_case("ȺAB".into(), false, false), "ⱥab");
    // MySQL writes the longer letter over the one behind it.
    assert_eq!(newer.with_case("ȺAB".into(), false, true), "ⱥ");
    assert_eq!(newer.with_case("Ⱥ".into(), false, true), "");
    assert_eq!(collation("latin5_turkish_ci", "latin5").with_case("I".into(), false, true), "ı");
}
