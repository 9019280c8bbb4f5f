//! Which records a caller may see in lists and searches.

use std::sync::Arc;

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
