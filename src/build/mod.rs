//! Dockerfile to image: nothing here yet.
