//! Tests of the lab: the checks must find what is wrong, and nothing else.

mod evidence;
mod judge;
mod schema_check;
mod schema_check_program;
mod users;
