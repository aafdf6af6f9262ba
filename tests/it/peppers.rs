//! Peppers as text: what servers and the command line read.

use tower_keep::{ConfigError, DigestTag, KeyHasher};

fn pepper(byte: &str) -> String {
    byte.repeat(32)
}

#[test]
fn the_first_pepper_is_written_and_the_others_are_accepted() {
    let text =
        format!("# of this year\n2026:{} # written\n\n2025:{} 2024:{}\n", pepper("AB"), pepper("01"), pepper("02"));

    let hasher = KeyHasher::from_pepper_text(&text).unwrap();

    let by_hand = KeyHasher::peppered("2026", [0xab; 32]).unwrap();
    assert!(hasher.digest("key").matches(&by_hand.digest("key")));
    let tags: Vec<_> = hasher.tags().map(|tag| tag.to_string()).collect();
    assert_eq!(tags, ["hmac-sha256/2026", "hmac-sha256/2025", "hmac-sha256/2024"]);
}

#[test]
fn a_file_says_what_its_text_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peppers");
    std::fs::write(&path, format!("2026:{}\n", pepper("ab"))).unwrap();

    let hasher = KeyHasher::from_pepper_file(&path).unwrap();

    assert_eq!(hasher.tags().count(), 1);
    let missing = KeyHasher::from_pepper_file(folder.path().join("none")).unwrap_err();
    assert!(matches!(&missing, ConfigError::PepperFile { reason } if reason.contains("none")), "{missing}");
}

#[test]
fn what_is_wrong_with_peppers_is_told_without_showing_any() {
    let secret = pepper("c0");
    let wrong = |text: &str| KeyHasher::from_pepper_text(text).unwrap_err();

    assert_eq!(wrong(""), ConfigError::PeppersMissing);
    assert_eq!(wrong("# nothing\n"), ConfigError::PeppersMissing);
    assert_eq!(wrong(&secret), ConfigError::PepperText { line: 1 });
    assert_eq!(wrong(&format!("\n2026:{secret}0")), ConfigError::PepperText { line: 2 });
    assert_eq!(wrong(&format!("2026:{secret}zz")), ConfigError::PepperText { line: 1 });
    assert_eq!(wrong("2026:c0c0"), ConfigError::PepperTooShort { bytes: 2 });
    assert_eq!(wrong(&format!("far-too-long:{secret}")), ConfigError::PepperId { length: 12 });
    assert!(matches!(wrong(&format!("a:{secret} a:{secret}")), ConfigError::PepperIdRepeated { .. }));
    assert!(!wrong(&format!("2026={secret}")).to_string().contains(&secret));
}

#[test]
fn a_fresh_pepper_can_be_read_and_is_another_one_each_time() {
    let [first, second] = [(); 2].map(|()| KeyHasher::fresh_pepper("2026").unwrap());

    let hasher = KeyHasher::from_pepper_text(first.expose()).unwrap();

    assert_eq!(hasher.tags().next(), Some("hmac-sha256/2026".parse::<DigestTag>().unwrap()));
    assert_eq!(first.expose().len(), "2026:".len() + 64);
    assert_ne!(first.expose(), second.expose());
    assert!(KeyHasher::fresh_pepper("").is_err());
}
