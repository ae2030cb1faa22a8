# All programs in one image; docker-compose.yml says which one a container runs. Needs BuildKit.

FROM node:24-bookworm-slim AS graphiql
WORKDIR /src
COPY api/graphiql ./
RUN --mount=type=cache,target=/root/.npm \
    SHOP_CACHE=/tmp/shop-orders ./build

# Without rust-toolchain.toml: this tag is the pinned toolchain, and rustup would fetch clippy and rustfmt for it.
FROM rust:1.95.0-bookworm AS programs
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY core core
COPY consumers consumers
COPY lab lab
COPY migrations migrations
COPY api api
COPY --from=graphiql /src/dist api/graphiql/dist
# The target folder is a cache of the builder and no part of a layer, so the programs are copied out in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package shop-api --package shop-consumers \
    && mkdir /programs \
    && for program in api outbox-relay stock-reservation order-saga projector ops; do \
        cp "target/release/$program" /programs/ || exit 1; \
    done

FROM debian:bookworm-slim
# What TLS to Kafka needs: the system's OpenSSL, and whom everybody trusts.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=programs /programs/ /usr/local/bin/
# Fails the build rather than the start when a shared library is missing.
RUN if ldd /usr/local/bin/api /usr/local/bin/projector | grep 'not found'; then exit 1; fi \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin shop
USER shop
EXPOSE 4000 4005
CMD ["api", "serve"]
