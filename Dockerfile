# The production image. Dependencies come from requirements.lock with their hashes; nothing is compiled.
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
WORKDIR /srv/freshet
RUN python -m venv /opt/venv
# The dependencies change less often than the source: a layer of their own.
COPY requirements-bootstrap.lock requirements.lock ./
RUN pip install --require-hashes --only-binary :all: -r requirements-bootstrap.lock \
 && pip install --require-hashes --only-binary :all: -r requirements.lock \
 && pip uninstall --yes uv
COPY . .
# Editable, as in a checkout: the migrations and the bundled definitions are found beside the source.
RUN pip install --no-build-isolation --no-deps --editable .

FROM python:3.12-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FRESHET_DATA_DIR=/var/lib/freshet
RUN groupadd --gid 10001 freshet \
 && useradd --uid 10001 --gid freshet --no-create-home --home-dir /var/lib/freshet --shell /usr/sbin/nologin freshet \
 && install --directory --owner freshet --group freshet --mode 0750 /var/lib/freshet
WORKDIR /srv/freshet
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/freshet /srv/freshet
USER freshet
VOLUME /var/lib/freshet
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=3)"]
# Beyond loopback it serves only if FRESHET_ALLOW_ANONYMOUS says that this is meant (see docker-compose.yml).
CMD ["freshet", "serve", "--host", "0.0.0.0"]
