//! Documents that fit nothing: each asks for too much, or says it in a way that nobody would.

use fastrand::Rng;

/// Everything that introspection knows.
const INTROSPECTION: &str = "{ __schema { types { name kind fields(includeDeprecated: true) { name args { name defaultValue } \
     type { name ofType { name ofType { name } } } } possibleTypes { name } enumValues { name } } directives { name locations } } }";

/// One of them.
pub fn shape(chance: &mut Rng) -> String {
    let n = chance.usize(1..700);
    match chance.u8(0..30) {
        0 => "{ a ".repeat(n) + &"}".repeat(chance.usize(..=n)),
        1 => format!("{{ node(id: {}{}) {{ id }} }}", "[".repeat(n), "]".repeat(n)),
        2 => format!("{{ node(id: {}1{}) {{ id }} }}", "{a:".repeat(n), "}".repeat(n)),
        3 => "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned(),
        4 => "query { ...A } fragment A on Query { products { nodes { ...A } } }".to_owned(),
        5 => doubling(chance.usize(1..40)),
        6 => format!("{{ {} }}", many(n, |i| format!("a{i}: __typename "))),
        7 => format!("{{ {} }}", "__typename ".repeat(n)),
        8 => format!("{{ __typename {} }}", "@include(if: true) ".repeat(n)),
        9 => format!("{{ __typename {} }}", many(n, |i| format!("@d{i}(a: {i}) "))),
        10 => format!("{{ products(filter: {{ nameContains: \"{}\" }}) {{ nodes {{ id }} }} }}", "x".repeat(n * 60)),
        11 => format!("{{ products(first: {}) {{ nodes {{ id }} }} }}", "9".repeat(n)),
        12 => format!("{{ products(first: 1e{n}) {{ nodes {{ id }} }} }}"),
        13 => "{ order(id: \"\\u006frder_\\uD83D\\uDE00\\u0000\\uD800\") { id } }".to_owned(),
        14 => "{ order(id: \"\\u{1F600}\\u{110000}\\u{}\") { id } }".to_owned(),
        15 => "{ order(id: \"\"\"block \\\"\"\" \u{2028} string\"\"\") { id } }".to_owned(),
        16 => format!("\u{feff}{{ __typename }} #{}", "c".repeat(n)),
        17 => "{ __typename\u{0} }".to_owned(),
        18 => INTROSPECTION.to_owned(),
        19 => {
            let of = chance.usize(1..40);
            format!("{{ __type(name: \"Order\") {{ fields {{ type {}{{ name }}{} }} }} }}", "{ ofType ".repeat(of), " }".repeat(of))
        }
        20 => many(chance.usize(1..80), |i| format!("query Q{i} {{ __typename }} ")),
        21 => "fragment Only on Query { __typename }".to_owned(),
        22 => "query($a: OrderFilter = {statuses: [PAID, $a]}) { orders(filter: $a) { nodes { id } } }".to_owned(),
        23 => format!("query({}) {{ __typename }}", many(n, |i| format!("$v{i}: Int = {i}, "))),
        24 => "subscription { orderUpdates { cursor } stockLevelChanged(productId: \"product_x\") { kind } }".to_owned(),
        25 => "subscription { __typename @skip(if: true) }".to_owned(),
        26 => format!("mutation {{ {} }}", many(chance.usize(1..40), |i| format!("m{i}: cancelOrder(input: {{ orderId: \"order_x\" }}) {{ errors {{ code }} }} "))),
        27 => "{ users(first: 100) { nodes { orders(first: 100) { nodes { id customer { orders { nodes { id } } } } } } } }".to_owned(),
        28 => "extend type Query { a: Int } { __typename }".to_owned(),
        _ => String::new(),
    }
}

fn doubling(count: usize) -> String {
    let fragments = many(count, |i| {
        let next = i + 1;
        format!("fragment F{i} on Query {{ ...F{next} ...F{next} }} ")
    });
    format!("{{ ...F0 }} {fragments} fragment F{count} on Query {{ __typename }}")
}

fn many(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect()
}
