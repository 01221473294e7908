# The image that the docker driver runs browsers in, on an official Debian image: scripts/browser-image --base debian:bookworm-slim
# (or docker build -t berth-browser -f compose/browser.Dockerfile compose). Where no registry is in reach scripts/browser-image
# makes the same from packages. The driver needs nothing of it but /bin/sh, /bin/cat and the browser; user, limits, network and
# command line are the driver's.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium-headless-shell fonts-dejavu-core ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/* \
        /usr/lib/*/dri /usr/lib/*/libLLVM*
ENV LANG=C.UTF-8
USER 65534:65534
