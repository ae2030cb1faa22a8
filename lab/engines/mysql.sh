# MySQL, from the root file system. Its data directory appears inside as /srv/mysql.
# shellcheck shell=bash

MYSQL_DATA=$SHOP_STATE/mysql
MYSQL_CA=$MYSQL_DATA/tls/ca.pem

mysql_enter() {
    local data=$1
    shift
    "$ENGINES_DIR/enter" "$ROOTFS" mysql "$data:/srv/mysql" -- "$@"
}

mysql_initialize() {
    local part=$MYSQL_DATA.part
    rm -rf "$part"
    mkdir -p "$part/data"
    cat >"$part/first.sql" <<-'SQL'
		CREATE DATABASE shop;
		CREATE USER 'shop'@'%' IDENTIFIED BY 'shop';
	SQL
    mysql_rights >>"$part/first.sql"
    chown -R "$(rootfs_ids mysql)" "$part"
    mysql_enter "$part" mysqld --no-defaults --initialize-insecure --init-file=/srv/mysql/first.sql \
        --datadir=/srv/mysql/data --secure-file-priv= --disable-log-bin
    mv "$part" "$MYSQL_DATA"
}

# What the operator, who migrates, may do: anything with the shops, and make users for their programs.
mysql_rights() {
    cat <<-'SQL'
		GRANT CREATE USER ON *.* TO 'shop'@'%';
		GRANT ALL ON `shop%`.* TO 'shop'@'%' WITH GRANT OPTION;
	SQL
}

# For data directories that were made when the operator might do less. The socket is root's.
mysql_ensure_rights() {
    local stamp=$MYSQL_DATA/rights-2
    [[ ! -e $stamp ]] || return 0
    mysql_rights | mysql_as_root
    touch "$stamp"
}

mysql_as_root() {
    mysql_enter "$MYSQL_DATA" mysql --no-defaults --socket=/srv/mysql/mysql.sock --user=root
}

# Those that MySQL makes for itself name no host, so nobody could check them. The authority vouches once: its key is not kept.
mysql_certificates() {
    [[ ! -e $MYSQL_CA ]] || return 0
    # shellcheck disable=SC2016
    mysql_enter "$MYSQL_DATA" bash -euc '
        rm -rf /srv/mysql/tls.part
        mkdir /srv/mysql/tls.part
        cd /srv/mysql/tls.part
        key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
        openssl req -x509 "${key[@]}" -days 3650 -subj "/CN=shop-orders engines" -keyout ca-key.pem -out ca.pem
        openssl req "${key[@]}" -subj /CN=localhost -keyout server-key.pem -out server.csr
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -days 3650 -out server.pem \
            -extfile <(printf "subjectAltName=DNS:localhost,IP:127.0.0.1")
        rm ca-key.pem server.csr
        mv /srv/mysql/tls.part /srv/mysql/tls
    ' 2>"$MYSQL_DATA/certificates.log"
}

# For a server that was started without them.
mysql_ensure_certificates() {
    [[ ! -e $MYSQL_CA ]] || return 0
    mysql_certificates
    mysql_as_root <<-'SQL'
		SET GLOBAL ssl_ca = '/srv/mysql/tls/ca.pem', GLOBAL ssl_cert = '/srv/mysql/tls/server.pem',
		    GLOBAL ssl_key = '/srv/mysql/tls/server-key.pem';
		ALTER INSTANCE RELOAD TLS;
	SQL
}

mysql_start() {
    daemon_pid mysql >/dev/null && return
    port_free mysql "$SHOP_MYSQL_PORT" SHOP_MYSQL_PORT
    [[ -d $MYSQL_DATA ]] || step "MySQL data directory" mysql_initialize
    mysql_certificates
    rm -f "$MYSQL_DATA/mysql.sock.lock" # after kill -9; InnoDB's own locks keep a second server out
    # Durable commits; room for many small test databases; no parts that nobody reads.
    local options=(
        --no-defaults
        --datadir=/srv/mysql/data
        --socket=/srv/mysql/mysql.sock
        --pid-file=/srv/mysql/mysql.pid
        --bind-address=127.0.0.1
        --port="$SHOP_MYSQL_PORT"
        --mysqlx=OFF
        --secure-file-priv=
        --ssl-ca=/srv/mysql/tls/ca.pem
        --ssl-cert=/srv/mysql/tls/server.pem
        --ssl-key=/srv/mysql/tls/server-key.pem
        --skip-name-resolve
        --default-time-zone=+00:00
        --innodb-flush-log-at-trx-commit=1
        --innodb-buffer-pool-size=256M
        --innodb-redo-log-capacity=256M
        --disable-log-bin
        --performance-schema=OFF
        --max-connections=600
        --max-connect-errors=1000000
        --thread-cache-size=64
        --table-open-cache=6000
        --table-definition-cache=6000
    )
    daemon_start mysql "$ENGINES_DIR/enter" "$ROOTFS" mysql "$MYSQL_DATA:/srv/mysql" -- mysqld "${options[@]}"
}

mysql_ready() {
    mysql_enter "$MYSQL_DATA" env MYSQL_PWD=shop mysql --no-defaults --protocol=TCP --host=127.0.0.1 \
        --port="$SHOP_MYSQL_PORT" --user=shop --connect-timeout=3 --execute='SELECT 1' shop >/dev/null 2>&1
}
