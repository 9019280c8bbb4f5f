//! Which records a caller may see in lists and searches.

use std::sync::Arc;

use mufakat_record::RecordId;
use mufakat_store::{ClassNumber, Error, Queries};

use super::Caller;
use crate::gate::{Action, Standing};
use crate::node::Node;

/// The numbers of the classes whose records the caller may see by an action, which is to list or to search; ascending.
pub(crate) fn classes(
    node: &Node,
    caller: &Caller,
    action: Action<'_>,
    store: &impl Queries,
) -> Result<Arc<Vec<ClassNumber>>, Error> {
    let directory = node.directory();
    let chain = directory.chain();
    let standing = Standing { me: &node.me, register: chain.current(), register_hash: chain.hash() };
    node.gate.classes(caller, action, standing, |after| store.classes(after))
}

/// Those of some records that are of one of these classes.
pub(crate) fn seen(
    store: &impl Queries,
    classes: &[ClassNumber],
    records: &[RecordId],
) -> Result<Vec<RecordId>, Error> {
    let mut seen = Vec::new();
    for record in records {
        if classes.binary_search(&store.class_of(record)?).is_ok() {
            seen.push(*record);
        }
    }
    Ok(seen)
}
