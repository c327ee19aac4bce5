describe service("hello") do
  it { is_expected.to be_enabled }
  it { is_expected.to be_running }
end

describe file("/opt/hello/index.html") do
  its(:content) { is_expected.to match(/#{ENV.fetch("KUMOI_COMMIT")}, configured by Puppet/) }
end
