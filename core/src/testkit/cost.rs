//! What statements cost, by MySQL's own counters.

use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use crate::db::{Conn, StoreError};

/// What was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// Rows that this session has read, by any way.
    pub rows: i64,
    /// Pages that the server has looked at for anybody. Walking over what is not purged shows here alone: `InnoDB` does not
    /// count it as rows read.
    pub pages: i64,
}

#[derive(diesel::QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Status {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

impl Reads {
    /// What this session and the server have read so far; asking costs a few dozen rows, the same each time.
    ///
    /// # Errors
    /// Those of the connection.
    ///
    /// # Panics
    /// If the server counts in another way.
    pub async fn until_now(conn: &mut Conn) -> Result<Self, StoreError> {
        #[derive(diesel::QueryableByName)]
        #[diesel(check_for_backend(diesel::mysql::Mysql))]
        struct Pages {
            #[diesel(sql_type = BigInt)]
            pages: i64,
        }
        let counters: Vec<Status> = diesel::sql_query(
            "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_first', 'Handler_read_key', 'Handler_read_last', \
             'Handler_read_next', 'Handler_read_prev', 'Handler_read_rnd')",
        )
        .load(conn)
        .await?;
        assert_eq!(counters.len(), 6, "the server has these counters");
        let count = |one: &Status| one.value.parse::<i64>().expect("a number");
        let pages: Pages = diesel::sql_query(
            "SELECT CAST(VARIABLE_VALUE AS SIGNED) AS pages FROM performance_schema.global_status \
             WHERE VARIABLE_NAME = 'Innodb_buffer_pool_read_requests'",
        )
        .get_result(conn)
        .await?;
        Ok(Self {
            rows: counters.iter().map(count).sum(),
            pages: pages.pages,
        })
    }
}
