//! Where traces begin and how a step of one is named (W3C Trace Context). Ids are random, and nothing secret hangs on them.

use crate::events::TraceParent;

/// The first step of a new trace.
pub fn new_trace() -> TraceParent {
    TraceParent::new(fastrand::u128(1..), fastrand::u64(1..))
}

/// A further step of the same trace: its trace id and flags, a span id of its own.
pub fn child_of(parent: &TraceParent) -> TraceParent {
    let flags = parent.as_str().rsplit('-').next().unwrap_or("01");
    format!(
        "00-{}-{:016x}-{flags}",
        parent.trace_id(),
        fastrand::u64(1..)
    )
    .parse()
    .unwrap_or_else(|_| new_trace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_trace_is_a_valid_traceparent() {
        for _ in 0..100 {
            let trace = new_trace();
            assert_eq!(trace.as_str().parse::<TraceParent>().as_ref(), Ok(&trace));
        }
    }

    #[test]
    fn a_child_keeps_trace_and_flags_and_has_its_own_span() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let Ok(parent) = text.parse::<TraceParent>() else {
            panic!("{text} was refused")
        };
        let child = child_of(&parent);
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child, parent);
        assert!(child.as_str().ends_with("-00"), "{child:?} lost the flags");
    }
}
