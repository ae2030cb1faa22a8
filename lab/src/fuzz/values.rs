//! Values of a type, and values of no type that anybody expects.

use apollo_compiler::ast::Type;
use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::grammar::{Form, Grammar};
use super::things::Things;

/// Objects within objects of inputs, at most.
const DEPTH: usize = 6;
/// Every so many values are odd.
const ODD: usize = 20;

/// What values are made from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The schema.
    pub grammar: &'a Grammar,
    /// What there is in the shop.
    pub things: &'a Things,
}

impl Source<'_> {
    /// A value of a type, mostly. The hint is the name of what it is for.
    pub fn value(&self, of: &Type, hint: &str, chance: &mut Rng) -> Value {
        self.nested(of, hint, chance, DEPTH)
    }

    fn nested(&self, of: &Type, hint: &str, chance: &mut Rng, depth: usize) -> Value {
        if chance.usize(..ODD) == 0 {
            return odd(chance);
        }
        if depth == 0 || (!of.is_non_null() && chance.u8(0..10) == 0) {
            return Value::Null;
        }
        if of.is_list() {
            let count = chance.usize(0..4);
            let item = |_| self.nested(of.item_type(), hint, chance, depth - 1);
            return (0..count).map(item).collect();
        }
        let name = of.inner_named_type().as_str();
        match self.grammar.form(name) {
            Form::Enum(words) => chance.choice(words).unwrap_or_default().into(),
            Form::Scalar(scalar) => self.scalar(scalar, hint, chance),
            Form::Object => {
                let mut object = Map::new();
                for input in self.grammar.inputs(name) {
                    if input.ty.is_non_null() || chance.bool() {
                        let hint = match input.name.as_str() {
                            "id" => hint,
                            own => own,
                        };
                        let value = self.nested(&input.ty, hint, chance, depth - 1);
                        object.insert(input.name.to_string(), value);
                    }
                }
                Value::Object(object)
            }
        }
    }

    fn scalar(&self, name: &str, hint: &str, chance: &mut Rng) -> Value {
        match name {
            "ID" => self.things.id(hint, chance).into(),
            "Int" => chance.i32(-2..20).into(),
            "Boolean" => chance.bool().into(),
            "Float" => chance.f64().into(),
            "UUID" => uuid(chance).into(),
            "Decimal" => format!("{}.{:02}", chance.u8(..), chance.u8(0..100)).into(),
            "DateTime" => format!("2026-0{}-01T00:00:00.000Z", chance.u8(1..10)).into(),
            _ if hint.contains("urrency") => "EUR".into(),
            _ if hint.contains("mail") => format!("{}@example.org", chance.u32(..)).into(),
            _ => word(chance).into(),
        }
    }

    /// A value as it stands in a document.
    pub fn literal(&self, of: &Type, value: &Value) -> String {
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| self.literal(of.item_type(), item));
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
            Value::Object(fields) => {
                let inputs = self.grammar.inputs(of.inner_named_type().as_str());
                let field = |(name, value): (&String, &Value)| {
                    let known = inputs.iter().find(|input| input.name == name.as_str());
                    let value = self.literal(known.map_or(of, |input| &input.ty), value);
                    format!("{name}: {value}")
                };
                let fields: Vec<String> = fields.iter().map(field).collect();
                format!("{{{}}}", fields.join(", "))
            }
            Value::String(text) => match self.grammar.form(of.inner_named_type().as_str()) {
                Form::Enum(_) if is_name(text) => text.clone(),
                _ => value.to_string(),
            },
            other => other.to_string(),
        }
    }
}

/// What nobody expects.
pub fn odd(chance: &mut Rng) -> Value {
    match chance.u8(0..26) {
        0 => Value::Null,
        1 => true.into(),
        2 => (-1).into(),
        3 => i64::MAX.into(),
        4 => u64::MAX.into(),
        5 => 1e308.into(),
        6 => (-0.0).into(),
        7 => "NaN".into(),
        8 => "Infinity".into(),
        9 => "".into(),
        10 => "\u{0}\u{feff}\u{202e}".into(),
        11 => "x".repeat(chance.usize(1..6_000)).into(),
        12 => "é😀\u{1f468}\u{200d}\u{1f469}"
            .repeat(chance.usize(1..50))
            .into(),
        13 => json!({ "$ne": null }),
        14 => json!({ "$gt": "" }),
        15 => json!({ "$where": "sleep(1000)" }),
        16 => json!([]),
        17 => vec![1; chance.usize(1..4_000)].into(),
        18 => deep(chance.usize(1..64), |inner| json!([inner])),
        19 => deep(chance.usize(1..64), |inner| json!({ "a": inner })),
        20 => "' OR 1=1 -- ".into(),
        21 => "order_00000000-0000-0000-0000-000000000000".into(),
        22 => "9999-12-31T23:59:59.999999999+23:59".into(),
        23 => format!("1e{}", chance.u16(..)).into(),
        24 => "9".repeat(chance.usize(1..200)).into(),
        _ => json!({ "id": { "$regex": ".*" }, "__proto__": {} }),
    }
}

fn deep(levels: usize, around: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(Value::Null, |inner, _| around(inner))
}

/// A random UUID.
pub fn uuid(chance: &mut Rng) -> String {
    let random = chance.u128(..).to_be_bytes();
    let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
    uuid.to_string()
}

fn word(chance: &mut Rng) -> String {
    const WORDS: [&str; 8] = [
        "mug",
        "Ada Ålander",
        "a b c",
        "card",
        "changed my mind",
        "%_\\",
        "0",
        "日本",
    ];
    chance.choice(WORDS).unwrap_or_default().to_owned()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}
