# The image of `make kind`: that of Dockerfile, with the sandbox's gcloud before the real one, and
# the sandbox's Slack and mail server. `make check` holds its versions against the lock.
ARG SPY
FROM ${SPY}
RUN pip install --no-cache-dir \
    aiosmtpd==1.4.6 \
    anywidget==0.11.0 \
    fastjsonschema==2.22.3 \
    graphviz==0.21 \
    ipywidgets==8.1.9 \
    nh3==0.3.8 \
    pandas==3.1.1 \
    psutil==7.2.2
COPY workshop /opt/sandbox/workshop
ENV PATH="/opt/sandbox/workshop/cluster/kubernetes:${PATH}" PYTHONPATH=/opt/sandbox
