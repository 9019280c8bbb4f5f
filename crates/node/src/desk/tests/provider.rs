//! An identity provider in a thread of the test.
