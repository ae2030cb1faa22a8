SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ENGINES := lab/engines/engines
WITH_ENGINES := lab/engines/with-engines
RUN := lab/run/run

# schema-check compares with this git ref or file. demo reads ORDERS, KILL, PAUSE, RACE, FRESH, REBUILD and PLANT, live reads KILL, ROLL, SLOW, TOKENS,
# SUBSCRIBERS and SECONDS; ci asks for fewer orders.
BASE ?= HEAD
# PROFILE=release for figures: demo and live then run what a deployment runs. The first build of it takes a quarter of an hour.
PROFILE ?= dev
CI_ORDERS ?= 40
# How many times as long a killed program may be away there as on a machine of its own.
CI_SLOWER ?= 5
TEST_THREADS ?= 8

.PHONY: run up down restart logs run-api run-outbox-relay run-stock-reservation run-order-saga run-projector \
	run-consumers run-all test test-fast lint fmt coverage schema schema-check migrate demo clients live bench-live bench-hostile bench-overload fuzz chaos sim ops deps build clean ci \
	help assets

run: ## everything in the foreground: servers, build, migrations, first data, programs; Ctrl-C stops it
	@$(RUN)
up: ## the same in the background
	@$(RUN) up
down: ## stop the programs and the servers
	@$(RUN) down
restart: ## build, then start the background programs anew
	@$(RUN) restart
logs: ## follow the programs' logs
	@$(RUN) logs
run-api: ## the API alone, in the foreground
	@$(RUN) only api
run-outbox-relay: ## the outbox relay alone
	@$(RUN) only outbox-relay
run-stock-reservation: ## the stock reservation alone
	@$(RUN) only stock-reservation
run-order-saga: ## the order saga alone
	@$(RUN) only order-saga
run-projector: ## the projector alone
	@$(RUN) only projector
run-consumers: ## all programs but the API
	@$(RUN) only outbox-relay stock-reservation order-saga projector
run-all: ## all programs, like run
	@$(RUN) only api outbox-relay stock-reservation order-saga projector
# Tests mostly wait for servers: more of them at once than there are cores.
test: assets ## all tests, on real servers
	@$(WITH_ENGINES) cargo test --workspace -- --test-threads=$(TEST_THREADS)
test-fast: ## the rules alone: no server, no IO
	@cargo test -p shop-core --no-default-features
lint: assets ## format, clippy, docs, compose file, licences and sources of dependencies
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	lab/lint/compose
	lab/lint/deny
fmt: ## format the code
	@cargo fmt
coverage: assets ## line coverage of all tests, as target/llvm-cov/html
	@lab/run/coverage
schema: assets ## print schema.graphql from the program
	@mkdir -p target && cargo run -q --bin api -- schema > target/schema.graphql && mv target/schema.graphql schema.graphql
schema-check: ## list changes of the schema since BASE (a git ref or a file); fails on a breaking one
	@cargo run -q --bin schema-check -- --base $(BASE)
migrate: build ## bring tables, the programs' rights to them, and topics up to date
	@$(WITH_ENGINES) $(RUN) migrate
sim: ## the programs' decisions over simulated servers; SEEDS=10000, or SEED=7 TRACE=1 PLANT=… FAULTS=… STEPS=…
	@cargo run -q --bin sim
demo: build ## orders through real clients, then an independent check; ORDERS=200 KILL=1 PLANT=1
	@$(WITH_ENGINES) cargo run -q --profile $(PROFILE) --bin demo
clients: build ## the GraphQL clients that people use, from npm and PyPI, each against the programs
	@lab/clients/run
live: build ## a thousand subscribers while copies of the API are killed; ROLL=1, SLOW=1, TOKENS=1, SUBSCRIBERS=n SECONDS=n
	@$(WITH_ENGINES) cargo run -q --profile $(PROFILE) --bin live
bench-live: build ## what ten thousand subscribers cost, beside a plain broadcast and Node's graphql-ws; SUBSCRIBERS=n ROUNDS=n
	@lab/bench/run
bench-hostile: assets ## what it costs to refuse hostile requests, beside { __typename }; and to hold 20,000 silent sockets
	@cargo build -q --release --workspace --bins && cargo run -q --release --bin bench-hostile
bench-overload: assets ## three times as many requests as the API can serve: what it serves, what it refuses, what is left after; SECONDS=n
	@cargo build -q --release --workspace --bins && $(WITH_ENGINES) cargo run -q --release --bin bench-overload
fuzz: assets ## ask the API what nobody asks, from one seed, and look that it answers well and stays as it is; MINUTES=n, SEED=n CASE=n
	@cargo build -q --release --workspace --bins && $(WITH_ENGINES) cargo run -q --release --bin fuzz
chaos: assets ## kill, pause, cut and confuse everything, then check every promise; SEED=n LONG=1 ONLY=words SLOWER=n
	@SEED=$(SEED) LONG=$(LONG) ONLY="$(ONLY)" SLOWER=$(SLOWER) lab/chaos/run
ops: ## the operator's command line, as in make ops ARGS="dlq list"
	@$(WITH_ENGINES) lab/run/as ops cargo run -q --bin ops -- $(ARGS)
deps: ## install and compile all that is needed: system packages, servers, tools, page assets, crates
	@$(ENGINES) tools && $(ENGINES) install && $(RUN) install && api/graphiql/build && cargo fetch
build: assets ## page assets and all programs
	@cargo build --workspace --profile $(PROFILE)
clean: ## remove what was built in the checkout; servers, tools and data stay cached outside
	@cargo clean && rm -rf api/graphiql/dist
ci: ## what must hold before a change lands: lint, build, test, demo, clients, chaos
	@$(MAKE) --no-print-directory lint build
	@$(WITH_ENGINES) $(MAKE) --no-print-directory test demo clients ORDERS=$(CI_ORDERS)
	@$(MAKE) --no-print-directory chaos SLOWER=$(CI_SLOWER)
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

assets:
	@$(ENGINES) tools && api/graphiql/build
