//! Tests of identifiers: examples that the standards publish, and rules that hold for every value.

use proptest::prelude::*;
use proptest::sample::select;

use super::IdentifierType::*;
use super::*;

fn canonical(identifier_type: IdentifierType, value: &str) -> Result<String, Fault> {
    Identifier { identifier_type, value: value.to_owned() }.canonical()
}

#[track_caller]
fn check(identifier_type: IdentifierType, cases: &[(&str, Result<&str, Fault>)]) {
    for (value, expect) in cases {
        assert_eq!(canonical(identifier_type, value), expect.map(str::to_owned), "{value}");
    }
}

#[test]
fn vessels() {
    let (form, digit) = (Err(Fault::ImoForm), Err(Fault::ImoCheckDigit));
    // 9074729 is the example of IMO's own page on the scheme: 9×7 + 0×6 + 7×5 + 4×4 + 7×3 + 2×2 = 139.
    check(
        Imo,
        &[
            ("9074729", Ok("9074729")),
            (" IMO 9074729\n", Ok("9074729")),
            ("imo9074729", Ok("9074729")),
            ("9074728", digit),
            ("0000000", form),
            ("907472", form),
            ("90747290", form),
            ("IMO", form),
            ("IMO ９０７４７２９", form),
            ("né 9074729", form),
        ],
    );
    let structure = Err(Fault::MmsiStructure);
    check(
        Mmsi,
        &[
            ("525700804", Ok("525700804")),
            ("052570080", Ok("052570080")),
            ("005251509", Ok("005251509")),
            ("009990000", Ok("009990000")),
            ("111525001", Ok("111525001")),
            ("995250012", Ok("995250012")),
            ("985250012", Ok("985250012")),
            ("852500012", Ok("852500012")),
            ("970012345", Ok("970012345")),
            ("972012345", Ok("972012345")),
            ("974012345", Ok("974012345")),
            ("100000000", structure),
            ("000000000", structure),
            ("009991111", structure),
            ("111111111", structure),
            ("880000000", structure),
            ("971012345", structure),
            ("999999999", structure),
            ("52570080", Err(Fault::MmsiForm)),
            ("52570080A", Err(Fault::MmsiForm)),
        ],
    );
    check(
        CallSign,
        &[
            ("xv-ab 2", Ok("XVAB2")),
            ("9V1234", Ok("9V1234")),
            ("12345", Err(Fault::CallSign)),
            ("XV", Err(Fault::CallSign)),
            ("ЭКЗ1", Err(Fault::CallSign)),
        ],
    );
}

#[test]
fn aircraft() {
    check(
        Icao24,
        &[
            ("7c6b2f", Ok("7C6B2F")),
            ("888001", Ok("888001")),
            ("7C6B2G", Err(Fault::Icao24Form)),
            ("7C6B2", Err(Fault::Icao24Form)),
            ("000000", Err(Fault::Icao24Unassigned)),
            ("ffffff", Err(Fault::Icao24Unassigned)),
        ],
    );
}

/// The specimens of Doc 9303, parts 4 (a passport), 6 (a card of two lines) and 5 (a card of three lines, and one whose number is long).
const PASSPORT: &str = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10";
const CARD_OF_TWO: &str = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\r\nD231458907UTO7408122F1204159<<<<<<<6";
const CARD_OF_THREE: &str =
    "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<";
const LONG_NUMBER: &str =
    "I<UTOD23145890<7349<<<<<<<<<<<\n3407127M9507122UTO<<<<<<<<<<<2\nSTEVENSON<<PETER<JOHN<<<<<<<<<";

#[test]
fn passports() {
    let (form, zone) = (Err(Fault::PassportForm), Err(Fault::MrzForm));
    check(
        Passport,
        &[
            ("VNM:C1234567", Ok("VNM:C1234567")),
            (" vnm: c 123-4567 ", Ok("VNM:C1234567")),
            ("D:C01X00T47", Ok("D:C01X00T47")),
            (PASSPORT, Ok("UTO:L898902C3")),
            (CARD_OF_TWO, Ok("UTO:D23145890")),
            (CARD_OF_THREE, Ok("UTO:D23145890")),
            (LONG_NUMBER, Ok("UTO:D23145890734")),
            // As it is pasted from a field that knows no lines.
            (&PASSPORT.replace('\n', ""), Ok("UTO:L898902C3")),
            (&PASSPORT.to_lowercase(), Ok("UTO:L898902C3")),
            // With a filler in the place of the check digit of an empty personal number.
            (
                "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159<<<<<<<<<<<<<<<8",
                Ok("UTO:L898902C3"),
            ),
            ("C1234567", form),
            ("VN:C1234567", form),
            ("VNM:", form),
            ("VNM:C12345678901234567890123", form),
            ("VNM:Č1234567", form),
            (&PASSPORT[..87], zone),
            (&PASSPORT.replacen('P', "V", 1), zone),
            ("<", zone),
        ],
    );
    let faults = [
        (44 + 1, "document number"),
        (44 + 1 + 14, "date of birth"),
        (44 + 1 + 22, "date of expiry"),
        (44 + 1 + 30, "personal number"),
        (44 + 1 + 43, "whole"),
    ];
    for (at, name) in faults {
        let mut damaged = PASSPORT.as_bytes().to_vec();
        damaged[at] = if damaged[at] == b'5' { b'6' } else { b'5' };
        let damaged = String::from_utf8(damaged).unwrap();
        assert_eq!(canonical(Passport, &damaged), Err(Fault::MrzCheckDigit(name)), "{damaged}");
    }
}

#[test]
fn phones() {
    let (form, country) = (Err(Fault::PhoneForm), Err(Fault::PhoneCountry));
    check(
        Phone,
        &[
            ("+84 24 3825 0000", Ok("+842438250000")),
            ("0084-24-3825.0000", Ok("+842438250000")),
            // The notation of ITU-T E.123.
            ("+22 607 123 4567", Ok("+226071234567")),
            ("+44 (0)20 7946 0000", Ok("+442079460000")),
            ("tel:+62-21-555-0100", Ok("+62215550100")),
            ("+6834000", Ok("+6834000")),
            ("+883130123456789", Ok("+883130123456789")),
            ("+8831301234567890", form),
            ("+683400", form),
            ("024 3825 0000", form),
            ("+84 CALL NOW", form),
            ("+٨٤٢٤٣٨٢٥٠٠٠٠", form),
            ("+0123456789", country),
            ("+210123456", country),
            ("+9991234567", country),
        ],
    );
}

#[test]
fn accounts() {
    check(
        Iban,
        &[
            // Examples of the registry of IBANs.
            ("DE89 3704 0044 0532 0130 00", Ok("DE89370400440532013000")),
            ("IBAN GB29-NWBK-6016-1331-9268-19", Ok("GB29NWBK60161331926819")),
            ("nl91abna0417164300", Ok("NL91ABNA0417164300")),
            ("DE88 3704 0044 0532 0130 00", Err(Fault::IbanCheckDigits)),
            ("DE8937040044053201300", Err(Fault::IbanCheckDigits)),
            ("ZZ66 0000", Err(Fault::IbanCountry)),
            ("DE36 0000", Err(Fault::IbanStructure)),
            ("DE", Err(Fault::IbanForm)),
            ("0123456789", Err(Fault::IbanForm)),
        ],
    );
}

#[test]
fn wallets() {
    let (form, checksum) = (Err(Fault::WalletForm), Err(Fault::WalletChecksum));
    check(
        Wallet,
        &[
            // The first block's, and the example of BIP 13 and BIP 16.
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Ok("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")),
            ("3P14159f73E4gFr7JterCCQh9QjiTjiZrG", Ok("3P14159f73E4gFr7JterCCQh9QjiTjiZrG")),
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", checksum),
            ("1a1zp1ep5qgefi2dmptftl5slmv7divfna", form),
            // BIP 173 and BIP 350.
            ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", Ok("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")),
            (
                "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
                Ok("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7"),
            ),
            (
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                Ok("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"),
            ),
            ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", checksum),
            ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", checksum),
            ("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sL5k7", checksum),
            // EIP-55: in mixed case, in capitals, in small letters.
            ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Ok("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")),
            ("0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359", Ok("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359")),
            ("0X52908400098527886E0F7030069857D2E4169EE7", Ok("0x52908400098527886E0F7030069857D2E4169EE7")),
            ("0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", checksum),
            ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", form),
            ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg", form),
            // Tron's token of the dollar, from Tether's list of its contracts.
            ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", Ok("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")),
            ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6u", checksum),
            ("EXERCISE", form),
            ("ví", form),
        ],
    );
}

#[test]
fn plates_and_other_texts() {
    let plate = Err(Fault::NumberPlate);
    check(
        NumberPlate,
        &[
            ("51f-123.45", Ok("51F12345")),
            ("VN: 51F-123.45", Ok("VN:51F12345")),
            ("а 123 вс 77", Ok("А123ВС77")),
            ("１กข 1234", Ok("1กข1234")),
            ("กาฬสินธุ์ 12", Ok("กาฬสินธุ์12")),
            ("品川 500 さ ・・12", Ok("品川500さ12")),
            ("VIETNAM:51F", plate),
            ("51F:123:45", plate),
            ("51F_123", plate),
            ("- . -", plate),
            ("123456789012345678901", plate),
        ],
    );
    check(SerialNumber, &[("ak 47-001", Ok("AK47-001")), ("ｓn１", Ok("SN1"))]);
    check(
        Other,
        &[
            ("  Lô  \t số 7 ", Ok("Lô số 7")),
            ("Lo\u{302} so\u{301}", Ok("Lô só")),
            ("a\0b", Err(Fault::Invisible)),
            ("a\u{202e}b", Err(Fault::Invisible)),
            (" \n ", Err(Fault::Length)),
            (&"x".repeat(401), Err(Fault::Length)),
            // One character in, eighteen out.
            (&"\u{fdfa}".repeat(30), Err(Fault::Length)),
        ],
    );
}

#[test]
fn names_on_the_network() {
    let (email, url) = (Err(Fault::Email), Err(Fault::Url));
    check(
        Email,
        &[
            ("Duty.Officer@Example.ORG", Ok("Duty.Officer@example.org")),
            ("trực-ban@Ví-Dụ.example", Ok("trực-ban@ví-dụ.example")),
            ("a@b@example.org", email),
            ("@example.org", email),
            ("a..b@example.org", email),
            ("a b@example.org", email),
            ("a@localhost", email),
            ("a@-example.org", email),
            ("a@example.org.", email),
            ("a@exam\u{ff20}ple.org", email),
            (&format!("{}@example.org", "x".repeat(65)), email),
        ],
    );
    check(
        Url,
        &[
            ("HTTPS://Example.ORG/Path?Query=A#B", Ok("https://example.org/Path?Query=A#B")),
            ("https://User@Example.org:443", Ok("https://User@example.org:443")),
            ("https://", url),
            ("https:///path", url),
            ("example.org", url),
            ("1http://example.org", url),
            ("https://example.org/a b", url),
        ],
    );
}

#[test]
fn types_have_names() {
    for (identifier_type, name) in IdentifierType::ALL {
        assert_eq!(serde_json::to_value(identifier_type).unwrap(), name);
        assert_eq!(name.parse(), Ok(identifier_type));
        assert_eq!(identifier_type.name(), name);
    }
    assert!("ship".parse::<IdentifierType>().is_err());
}

#[test]
fn json_shows_both_forms_and_takes_back_what_it_shows() {
    let identifier = Identifier { identifier_type: Imo, value: "IMO 9074729".into() };
    let shown = serde_json::json!({"type": "imo", "value": "IMO 9074729", "canonical": "9074729"});
    assert_eq!(serde_json::to_value(&identifier).unwrap(), shown);
    assert_eq!(serde_json::from_value::<Identifier>(shown).unwrap(), identifier);
    let unsound = Identifier { identifier_type: Iban, value: "EXERCISE".into() };
    assert_eq!(serde_json::to_value(&unsound).unwrap(), serde_json::json!({"type": "iban", "value": "EXERCISE"}));
    for other in [
        r#"{"type":"imo","value":"9074729","canonical":"9074731"}"#,
        r#"{"type":"iban","value":"EXERCISE","canonical":"EXERCISE"}"#,
        r#"{"type":"imo","value":"9074729","more":1}"#,
    ] {
        assert!(serde_json::from_str::<Identifier>(other).is_err(), "{other}");
    }
}

/// Values of each type that have a canonical form, and whose every digit and letter a checksum covers.
const CHECKED: &[(IdentifierType, &str)] = &[
    (Iban, "DE89370400440532013000"),
    (Wallet, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    (Wallet, "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
    (Wallet, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
];

#[test]
fn a_changed_character_is_refused_where_a_checksum_covers_it() {
    let changed = |value: &str, at: usize, to: u8| {
        let mut bytes = value.as_bytes().to_vec();
        let before = std::mem::replace(&mut bytes[at], to);
        (before != to).then(|| String::from_utf8(bytes).unwrap())
    };
    for (identifier_type, value) in CHECKED {
        for at in 0..value.len() {
            // With a letter in the place of a digit an IBAN has more digits to sum, and its check is another one.
            let digit = value.as_bytes()[at].is_ascii_digit();
            let others = if digit { b'0'..=b'9' } else { b'A'..=b'Z' };
            for other in others.filter_map(|to| changed(value, at, to)) {
                assert!(canonical(*identifier_type, &other).is_err(), "{other}");
            }
        }
    }
    // Of the digits of an IMO number the sum sees every change of the last, of the first (times 7) and of the fifth (times 3).
    for at in [0, 4, 6] {
        for other in (b'0'..=b'9').filter_map(|to| changed("9074729", at, to)) {
            assert!(canonical(Imo, &other).is_err(), "{other}");
        }
    }
    // Weights 7, 3 and 1 see every changed digit in what the lower line's check digits cover.
    for at in (45..88).filter(|at| PASSPORT.as_bytes()[*at].is_ascii_digit()) {
        for other in (b'0'..=b'9').filter_map(|to| changed(PASSPORT, at, to)) {
            assert!(canonical(Passport, &other).is_err(), "{other}");
        }
    }
}

/// Values near to what a type takes, and any text.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,40}",
        "(IMO ?)?[0-9]{7}",
        "[0-9]{9}",
        "[0-9a-fA-F]{6}",
        "[A-Z]{3}:[A-Z0-9 <-]{1,22}",
        "[PIACV]<[A-Z<]{42}[A-Z0-9<]{44}",
        "(\\+|00)[0-9 ()-]{7,20}",
        "(IBAN )?[A-Z]{2}[0-9]{2}[A-Z0-9 ]{8,30}",
        "(0x[0-9a-fA-F]{40})|([13T][1-9A-HJ-NP-Za-km-z]{25,34})|((bc1|tb1)[a-z0-9]{20,60})",
        "([A-Z]{1,3}:)?\\PC{1,12}",
        "\\PC{1,10}@\\PC{1,10}\\.\\PC{1,5}",
        "[a-zA-Z]{1,6}://\\PC{1,20}",
        prop::collection::vec(any::<char>(), 1..30).prop_map(|chars| chars.into_iter().collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_canonical_is_its_own_canonical_form(of in select(&IdentifierType::ALL[..]), value in values()) {
        let identifier = Identifier { identifier_type: of.0, value };
        if let Ok(canonical) = identifier.canonical() {
            let again = Identifier { value: canonical.clone(), ..identifier.clone() };
            prop_assert_eq!(again.canonical(), Ok(canonical));
            prop_assert!(again.is_sound());
            // The author's rule is the narrower: what it takes, every reader takes.
            prop_assert!(identifier.is_sound());
        }
    }

    #[test]
    fn blanks_around_a_value_change_nothing(of in select(&IdentifierType::ALL[..]), value in values()) {
        prop_assert_eq!(canonical(of.0, &value), canonical(of.0, &format!(" \t{value}\n")));
    }

    #[test]
    fn every_ship_with_its_check_digit_has_a_number(six in 100_000_u32..1_000_000) {
        let digits = six.to_string();
        let sum: u32 = digits.bytes().zip((2..=7).rev()).map(|(b, weight)| u32::from(b & 15) * weight).sum();
        for last in 0..10 {
            prop_assert_eq!(canonical(Imo, &format!("{digits}{last}")).is_ok(), last == sum % 10);
        }
    }

    #[test]
    fn an_address_of_ethereum_has_one_written_form(address in any::<[u8; 20]>()) {
        let small = hex::encode(address);
        let written = canonical(Wallet, &format!("0x{small}")).unwrap();
        prop_assert_eq!(canonical(Wallet, &format!("0x{}", small.to_uppercase())).unwrap(), written.clone());
        prop_assert_eq!(written.to_lowercase(), format!("0x{small}"));
    }
}
