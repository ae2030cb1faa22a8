# Kafka: the broker's jars from Maven, run by the host's Java or by the root file system's.
# shellcheck shell=bash

JAVA_WANTED=17
KAFKA_DATA=$SHOP_STATE/kafka
KAFKA_LIBS=$SHOP_CACHE/kafka-$(fingerprint "$ENGINES_DIR/kafka/pom.xml")

host_java() {
    local found
    have java || return 1
    found=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    ((${found:-0} >= JAVA_WANTED))
}

kafka_install() {
    ! kafka_installed || return 0
    rm -rf "$KAFKA_LIBS.part"
    mkdir -p "$KAFKA_LIBS.part"
    if host_java && have mvn; then
        step "Kafka" kafka_fetch env
    else
        native_possible "Java $JAVA_WANTED and Maven"
        rootfs_install
        rootfs_command mvn maven default-jre-headless
        step "Kafka" kafka_fetch "$ENGINES_DIR/enter" "$ROOTFS" root "$ENGINES_DIR" "$SHOP_CACHE" -- env
    fi
    mv "$KAFKA_LIBS.part" "$KAFKA_LIBS"
}

kafka_installed() {
    [[ -d $KAFKA_LIBS ]]
}

kafka_fetch() {
    "$@" mvn --batch-mode --no-transfer-progress --file "$ENGINES_DIR/kafka/pom.xml" \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$KAFKA_LIBS.part"
}

# A proxy in front of the broker is what clients are told to connect to, or they would go around it.
kafka_settings() {
    local proxied= advertised=
    if [[ -n ${SHOP_KAFKA_PROXY_PORT-} ]]; then
        proxied=,PROXIED://127.0.0.1:$SHOP_KAFKA_PROXIED_PORT
        advertised=,PROXIED://127.0.0.1:$SHOP_KAFKA_PROXY_PORT
    fi
    cat <<-END
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$SHOP_KAFKA_CONTROLLER_PORT
		controller.listener.names=CONTROLLER
		listeners=PLAINTEXT://127.0.0.1:$SHOP_KAFKA_PORT,CONTROLLER://127.0.0.1:$SHOP_KAFKA_CONTROLLER_PORT$proxied
		advertised.listeners=PLAINTEXT://127.0.0.1:$SHOP_KAFKA_PORT$advertised
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
		inter.broker.listener.name=PLAINTEXT
		log.dirs=$KAFKA_DATA
		auto.create.topics.enable=false
		num.partitions=3
		default.replication.factor=1
		min.insync.replicas=1
		offsets.topic.replication.factor=1
		offsets.topic.num.partitions=8
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		transaction.state.log.num.partitions=4
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		broker.session.timeout.ms=6000
		group.initial.rebalance.delay.ms=0
		group.min.session.timeout.ms=1000
		log.segment.bytes=67108864
		log.index.size.max.bytes=1048576
		log.cleaner.dedupe.buffer.size=16777216
		metadata.log.segment.bytes=67108864
	END
}

# kafka_java OPTION...: leaves the command that runs Kafka's classes in KAFKA_JAVA.
kafka_java() {
    KAFKA_JAVA=()
    if ! host_java; then
        rootfs_install
        rootfs_command java default-jre-headless
        KAFKA_JAVA=("$ENGINES_DIR/enter" "$ROOTFS" root "$ENGINES_DIR" "$KAFKA_LIBS" "$SHOP_STATE" --)
    fi
    KAFKA_JAVA+=(
        java "$@"
        -Dlog4j2.configurationFile="$ENGINES_DIR/kafka/log4j2.xml"
        -cp "$KAFKA_LIBS/*"
    )
}

kafka_format() {
    mkdir -p "$KAFKA_DATA"
    "${KAFKA_JAVA[@]}" kafka.tools.StorageTool format --ignore-formatted \
        --cluster-id c2hvcC1vcmRlcnMtbGFiMQ --config "$SHOP_STATE/kafka.properties"
}

kafka_start() {
    daemon_pid kafka >/dev/null && return
    port_free kafka "$SHOP_KAFKA_PORT" SHOP_KAFKA_PORT
    port_free kafka "$SHOP_KAFKA_CONTROLLER_PORT" SHOP_KAFKA_CONTROLLER_PORT
    kafka_settings >"$SHOP_STATE/kafka.properties"
    # shellcheck disable=SC2086 # several words
    kafka_java -Xmx768m ${SHOP_KAFKA_JAVA_OPTIONS-}
    [[ -e $KAFKA_DATA/meta.properties ]] || step "Kafka data directory" kafka_format
    daemon_start kafka "${KAFKA_JAVA[@]}" kafka.Kafka "$SHOP_STATE/kafka.properties"
}

# A Metadata request (version 4, no topics): the answer counts the brokers that take part.
kafka_ready() {
    local answer
    answer=$(ask "$SHOP_KAFKA_PORT" '\0\0\0\x0f\0\x03\0\x04\0\0\0\x01\xff\xff\0\0\0\0\0' 16) || return
    [[ $answer =~ 0000000100000000[0-9a-f]{8}$ && ${answer: -8} != 00000000 ]]
}
