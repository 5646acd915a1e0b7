//! Shared by the test files of this folder.
