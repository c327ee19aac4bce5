file { '/opt/hello':
  ensure => directory,
}
file { '/opt/hello/index.html':
  content => "${facts['kumoi_server']} at ${facts['kumoi_commit']}, configured by Puppet\n",
}
file { '/etc/systemd/system/hello.service':
  content => @(UNIT)
    [Service]
    ExecStart=/usr/bin/python3 -m http.server --directory /opt/hello 80
    [Install]
    WantedBy=multi-user.target
    | UNIT
  ,
}
service { 'hello':
  ensure    => running,
  enable    => true,
  provider  => systemd,
  subscribe => File['/etc/systemd/system/hello.service'],
}
