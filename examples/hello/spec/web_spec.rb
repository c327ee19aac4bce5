# What every web server must be.
require "spec_helper"

describe service("hello") do
  it { should be_enabled }
  it { should be_running }
end

describe port(80) do
  it { should be_listening }
end

describe file("/opt/hello/commit.env") do
  it { should be_file }
  its(:content) { should match(/^COMMIT=[0-9a-f]{40}$/) }
end

describe command("curl --silent --fail http://localhost/") do
  its(:exit_status) { should eq 0 }
  its(:stdout) { should match(/hello from/) }
end
