# What every web server must be.
require "spec_helper"

describe service("shop") do
  it { should be_enabled }
  it { should be_running }
end

describe port(8080) do
  it { should be_listening }
end
