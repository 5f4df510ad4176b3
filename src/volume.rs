//! Named volumes: nothing here yet.
