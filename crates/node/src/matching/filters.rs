//! Filters of partners, read from the attachments that they are. A filter is used only after its bytes were compared with the
//! signed hash, its size with the signed class, and it was seen not to say of everything that it is listed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use futures_util::TryStreamExt;
use mufakat_matching::filter::{Class, Filter};
use mufakat_record::Digest;
use mufakat_views::matching as view;

use super::{blocking, random};
use crate::chunks::{self, Unreadable};
use crate::node::Node;
use crate::writer::Fault;

/// How many bytes of filters are kept in memory.
const LOADED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Filters in memory, by the hash that was compared and the class.
#[derive(Default)]
pub(super) struct Loaded {
    filters: HashMap<(Digest, u32), Arc<Filter>>,
    bytes: usize,
}

impl Loaded {
    fn keep(&mut self, name: (Digest, u32), filter: &Arc<Filter>) {
        let size = filter.as_bytes().len();
        if self.bytes + size > LOADED_BYTES_MAX {
            // Whatever is asked of next is read from the disk again.
            *self = Self::default();
        }
        if size <= LOADED_BYTES_MAX && self.filters.insert(name, Arc::clone(filter)).is_none() {
            self.bytes += size;
        }
    }
}

/// Why a filter is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Not all of it has come yet.
    NotHere,
    /// It is not what its holder signed, or not what a filter is; by name.
    Unsound(&'static str),
}

/// A filter of a partner.
pub(super) async fn load(node: &Arc<Node>, told: &view::Filter) -> Result<Result<Arc<Filter>, Unusable>, Fault> {
    if let Some(filter) = loaded(node, told) {
        return Ok(Ok(filter));
    }
    // One after the other: filters are large, and whoever waits here may find that another loaded the same one.
    let _alone = node.matching.loading.lock().await;
    if let Some(filter) = loaded(node, told) {
        return Ok(Ok(filter));
    }
    let content = match chunks::content(node, told.attachment).await {
        Ok(content) => content,
        Err(Unreadable::Incomplete { .. } | Unreadable::NotFound) => return Ok(Err(Unusable::NotHere)),
        Err(Unreadable::Damaged(_)) => return Ok(Err(Unusable::Unsound("filter-damaged"))),
        Err(Unreadable::Fault(fault)) => return Err(fault),
    };
    // Before anything of it is read: nobody makes this node hold more than a filter of the class that was signed.
    let size = content.attachment.size;
    let class = Class::all().find(|class| class.capacity() == told.class as usize);
    if class.is_none_or(|class| class.bytes() as u64 != size) {
        return Ok(Err(Unusable::Unsound("wrong-size")));
    }
    let pieces = content.stream.try_fold(Vec::with_capacity(size as usize), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    let bytes = match pieces.await {
        Ok(bytes) => bytes,
        Err(Unreadable::Fault(fault)) => return Err(fault),
        Err(_) => return Ok(Err(Unusable::Unsound("filter-damaged"))),
    };
    let (digest, class) = (told.digest, told.class);
    let filter = match blocking(move || check(bytes, digest, class)).await? {
        Ok(filter) => Arc::new(filter),
        Err(name) => return Ok(Err(Unusable::Unsound(name))),
    };
    node.matching.loaded.lock().unwrap_or_else(PoisonError::into_inner).keep((digest, class), &filter);
    Ok(Ok(filter))
}

/// Whether all of a filter has come. Nothing of it is read.
pub(super) async fn is_here(node: &Arc<Node>, told: &view::Filter) -> Result<bool, Fault> {
    if loaded(node, told).is_some() {
        return Ok(true);
    }
    match chunks::content(node, told.attachment).await {
        Err(Unreadable::Incomplete { .. } | Unreadable::NotFound) => Ok(false),
        Err(Unreadable::Fault(fault)) => Err(fault),
        // What is wrong with it shows when it is read.
        Ok(_) | Err(Unreadable::Damaged(_)) => Ok(true),
    }
}

/// A filter that is in memory.
fn loaded(node: &Node, told: &view::Filter) -> Option<Arc<Filter>> {
    node.matching.loaded.lock().unwrap_or_else(PoisonError::into_inner).filters.get(&(told.digest, told.class)).cloned()
}

/// A filter from its bytes, if it is what its holder signed.
fn check(bytes: Vec<u8>, digest: Digest, class: u32) -> Result<Filter, &'static str> {
    if Digest::of(&bytes) != digest {
        return Err("wrong-hash");
    }
    let filter = Filter::from_bytes(bytes).map_err(|fault| fault.reason())?;
    if filter.class().capacity() != class as usize {
        return Err("wrong-size");
    }
    filter.probe(&mut random).map_err(|fault| fault.reason())?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use mufakat_matching::tag::Tag;

    use super::*;

    fn filter() -> Filter {
        let entries = [(Tag::of(&[7; 64]), 1)];
        Filter::build(Class::holding(1).unwrap(), &entries, &mut random).unwrap()
    }

    #[test]
    fn a_filter_is_what_its_holder_signed() {
        let bytes = filter().into_bytes();
        let (digest, class) = (Digest::of(&bytes), 1_000);
        assert!(check(bytes.clone(), digest, class).is_ok());
        assert_eq!(check(bytes.clone(), Digest([0; 32]), class).err(), Some("wrong-hash"));
        assert_eq!(check(bytes.clone(), digest, 2_000).err(), Some("wrong-size"));
        let cut = bytes[..bytes.len() - 1].to_vec();
        let digest = Digest::of(&cut);
        assert!(check(cut, digest, class).is_err());
    }

    #[test]
    fn what_is_kept_in_memory_is_bounded() {
        let mut loaded = Loaded::default();
        let filter = Arc::new(filter());
        let size = filter.as_bytes().len();
        loaded.keep((Digest([1; 32]), 1_000), &filter);
        loaded.keep((Digest([1; 32]), 1_000), &filter);
        assert_eq!((loaded.bytes, loaded.filters.len()), (size, 1));
        loaded.bytes = LOADED_BYTES_MAX;
        loaded.keep((Digest([2; 32]), 1_000), &filter);
        assert_eq!((loaded.bytes, loaded.filters.len()), (size, 1));
    }
}
