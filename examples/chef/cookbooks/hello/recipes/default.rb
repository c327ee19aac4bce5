directory "/opt/hello"

file "/opt/hello/index.html" do
  content "#{ENV.fetch("KUMOI_SERVER")} at #{ENV.fetch("KUMOI_COMMIT")}, configured by Chef\n"
end

systemd_unit "hello.service" do
  content <<~UNIT
    [Service]
    ExecStart=/usr/bin/python3 -m http.server --directory /opt/hello 80
    [Install]
    WantedBy=multi-user.target
  UNIT
  action %i[create enable start]
end
