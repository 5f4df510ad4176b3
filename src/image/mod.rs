//! References, manifests, layers, overlay, archives.
