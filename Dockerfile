# One image for every process: `web`, `worker`, `beat`, `migrate` and `token` are arguments of its entry point.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/dashboard
RUN python -m venv --without-pip /opt/venv && python -m venv /opt/build
COPY deploy/image/*.lock deploy/image/
# Only packages that a lock file names, with hashes, are installed. Bytecode is not validated against file times, so that
# the same source gives the same files and the root may be read-only.
RUN pip --python /opt/venv/bin/python install --no-compile --only-binary :all: --require-hashes -r deploy/image/requirements.lock \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib \
    && pip --python /opt/build/bin/python install --only-binary :all: --require-hashes -r deploy/image/build.lock
COPY app/dashboard/__init__.py app/dashboard/assets.py app/dashboard/package*.json app/dashboard/
COPY clients/js/src clients/js/src
RUN touch app/__init__.py && PATH="/opt/build/bin:$PATH" python -m app.dashboard.assets
COPY pyproject.toml README.md wsgi.py celery_worker.py ./
COPY app app
COPY docs/runbooks docs/runbooks
COPY tasks tasks
RUN PYTHONPATH="$(echo /opt/build/lib/python3*/site-packages)" pip --python /opt/venv/bin/python install \
        --no-compile --no-deps --no-build-isolation --editable . \
    && rm -rf build ./*.egg-info deploy clients \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /srv/dashboard
# What the image adds to its base, as two trees. With the commit's time as an argument, the same source gives layers with
# the same digests: their folders (/etc, /opt, /srv) have that time too. Rights do not depend on the umask of the checkout.
ARG SOURCE_DATE_EPOCH=""
RUN mkdir -p /image/packages/opt /image/app/srv /image/app/etc \
    && mv /opt/venv /image/packages/opt/ && mv /srv/dashboard /image/app/srv/ && cp /etc/passwd /etc/group /image/app/etc/ \
    && echo "dashboard:x:10001:10001::/tmp:/usr/sbin/nologin" >> /image/app/etc/passwd \
    && echo "dashboard:x:10001:" >> /image/app/etc/group \
    && chmod -R a+rX,go-w /image \
    && { [ -z "$SOURCE_DATE_EPOCH" ] || find /image -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +; }

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Dashboard Realtime"
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DASHBOARD_HOME=/tmp/dashboard \
    DASHBOARD_LOG_FORMAT=json \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics
COPY --from=build /image/packages/ /
COPY --from=build /image/app/ /
WORKDIR /srv/dashboard
USER 10001:10001
EXPOSE 5000
# The health check of web; docker-compose.yml defines those of workers and beat.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-IS", "app/observability/probe.py", "web"]
ENTRYPOINT ["dashboard"]
CMD ["web", "--host", "0.0.0.0", "--port", "5000"]
