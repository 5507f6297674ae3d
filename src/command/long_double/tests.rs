//! Sums as Redis 7 answers them on x86 to `SET f value` and `INCRBYFLOAT f by`.

use super::LongDouble;

fn sum(value: &str, by: &str) -> Option<String> {
    let (value, by) = (LongDouble::parse(value.as_bytes())?, LongDouble::parse(by.as_bytes())?);
    let mut out = b"=".to_vec();
    value.plus(by)?.write(&mut out);
    Some(String::from_utf8(out).expect("text").split_off(1))
}

#[test]
fn sums_as_redis_writes_them() {
    for (value, by, text) in [
        ("0", "10.50", "10.5"),
        ("10.5", "0.1", "10.6"),
        ("10.6", "-5", "5.6"),
        ("0.1", "0.2", "0.3"),
        ("5.0e3", "2.0e2", "5200"),
        ("3.0", "1", "4"),
        ("-1", "1", "0"),
        ("-0.0", "0", "0"),
        ("+1.50", "0", "1.5"),
        (".5", "0", "0.5"),
        ("-.5e1", "0", "-5"),
        ("5.", "0", "5"),
        ("-0.25", "-0.5", "-0.75"),
        ("010", "00", "10"),
        ("9007199254740993", "1", "9007199254740994"),
        ("9223372036854775807", "1", "9223372036854775808"),
        ("9223372036854775808", "0.5", "9223372036854775808"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("36893488147419103233", "0", "36893488147419103232"),
        ("1e20", "0", "100000000000000000000"),
        ("1e30", "0", "1000000000000000000024696061952"),
        ("1000000000000000000000", "1", "1000000000000000000000"),
        ("123456789012345678901234567890", "0", "123456789012345678899921813504"),
        ("0.12345678901234567890", "0", "0.12345678901234568"),
        ("123456789.123456789", "0", "123456789.12345678899873747"),
        ("123456789.1", "0.2", "123456789.29999999999563443"),
        ("1234567890123.1", "0.2", "1234567890123.30000007152557373"),
        ("1234567890123456.789", "0.001", "1234567890123456.7899169921875"),
        ("1e-17", "0", "0.00000000000000001"),
        ("5e-18", "0", "0"),
        ("-1e-18", "0", "0"),
        ("1e-4940", "0", "0"),
        ("0x10", "0", "16"),
        ("0X1p3", "0", "8"),
        ("0x1.8", "-0x.8p1", "0.5"),
        ("0e99999999999999999999", "1", "1"),
    ] {
        assert_eq!(sum(value, by).as_deref(), Some(text), "{value} + {by}");
    }
}

#[test]
fn large_ones() {
    let text = "199999999999999999993371759311691291321120199694831134415594095989843469737676\
                123744200253843777078640893494450108026446304269499187921167194841628860392837\
                535918200039206381557326219209014213335878306791577877829121087126122536729803\
                237260434173178506889763247582601711514636284849020905456510092687857156096";
    assert_eq!(sum("1e308", "1e308").as_deref(), Some(text));
    let power = sum("0x1p16000", "0").expect("a number");
    assert!(power.starts_with("3019469337239227579530658446615279709295262511375340515329372903"));
    assert_eq!(power.len(), 4817);
    assert_eq!(sum("1e4932", "0").expect("a number").len(), 4933);
    assert_eq!(sum("1e4932", "-1e4932").as_deref(), Some("0"));
    assert_eq!(sum("1e4932", "1e4932"), None);
}

#[test]
fn what_is_no_number() {
    for bad in [
        "",
        " 1",
        "1 ",
        "nan",
        "-nan",
        "nan(1)",
        "1e5000",
        "1e-5000",
        "0x",
        "0xg",
        "0x1p",
        "1e",
        "1e+",
        ".",
        "-",
        "--1",
        "1_0",
        "0b1",
        "1d",
        "1f",
        "1.2.3",
        "abc",
        "infinit",
        "1e-4951.",
        "-1e99999999999999999999",
        "1e-99999999999999999999",
        "0x1p-16446",
        "0x1p16384",
    ] {
        assert_eq!(LongDouble::parse(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(LongDouble::parse(&[b'1'; 5120]), None);
    for smallest in ["0x1p-16445", "0x1.8p-16446", "3.7e-4951"] {
        assert!(LongDouble::parse(smallest.as_bytes()).is_some(), "{smallest}");
    }
    for infinite in ["inf", "-inf", "+Infinity", "INF"] {
        assert!(LongDouble::parse(infinite.as_bytes()).is_some(), "{infinite}");
        assert_eq!(sum(infinite, "-inf"), None);
    }
}

/// Fractions of few bits are exact here and in a double, and are written in full.
#[test]
fn sums_of_binary_fractions_are_exact() {
    let mut state = 1u64;
    for _ in 0..2000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (a, b) = ((state >> 24) as i64 - (1 << 39), (state >> 13 & 0xffff_ffff) as i64);
        let (x, y) = (a as f64 / 4.0, -b as f64 / 8.0);
        assert_eq!(sum(&x.to_string(), &y.to_string()), Some((x + y).to_string()), "{x} + {y}");
    }
}
