/opt/hello/index.html:
  file.managed:
    - makedirs: True
    - contents: "{{ pillar['server'] }} at {{ pillar['commit'] }}, configured by Salt"

/etc/systemd/system/hello.service:
  file.managed:
    - contents: |
        [Service]
        ExecStart=/usr/bin/python3 -m http.server --directory /opt/hello 80
        [Install]
        WantedBy=multi-user.target

hello:
  service.running:
    - enable: True
    - watch:
        - file: /etc/systemd/system/hello.service
