#!/bin/sh
# Masquerading, and the director's own address as source, so that answers come back through it whatever the web
# servers' gateway is.
set -eu
sudo modprobe ip_vs || { echo "this server's kernel has no IPVS: the director needs a virtual machine" >&2; exit 1; }
command -v ipvsadm >/dev/null || {
    sudo apt-get -qy update
    sudo DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends ipvsadm nftables
}
here=$KUMOI_DIRECTOR_ADDRESSES
echo 'net.ipv4.ip_forward=1
net.ipv4.vs.conntrack=1' | sudo tee /etc/sysctl.d/lvs.conf >/dev/null
sudo sysctl --quiet --load=/etc/sysctl.d/lvs.conf
sudo ipvsadm --clear
sudo ipvsadm --add-service --tcp-service "$here:80" --scheduler rr
for web in $KUMOI_WEB_ADDRESSES; do
    sudo ipvsadm --add-server --tcp-service "$here:80" --real-server "$web:80" --masquerading
done
sudo nft -f - <<RULES
table ip lvs
delete table ip lvs
table ip lvs {
    chain source { type nat hook postrouting priority srcnat; ip daddr { $(echo "$KUMOI_WEB_ADDRESSES" | tr ' ' ,) } tcp dport 80 masquerade; }
}
RULES
