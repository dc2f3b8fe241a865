# What makes the guest an NFS server, run once after the boot.
set -e
mkdir -p /run/modules/lib
ln -s /usr/lib/uml/modules /run/modules/lib/modules
modprobe -d /run/modules -a nfsd nfs nfsv4 nfsv3 veth bridge

cd /var/lib/nfs
touch etab rmtab
mkdir -p rpc_pipefs v4recovery sm sm.bak nfsdcltrack nfsdcld
mount -t nfsd nfsd /proc/fs/nfsd
mount -t rpc_pipefs rpc_pipefs rpc_pipefs

ip link set lo up
ip link add br0 type bridge
ip addr add 10.9.0.1/24 dev br0
ip link set br0 up

mkdir /tmp/export
mkfs.ext4 -q -m 0 -E nodiscard /dev/ubda
mount -o noatime,nodiscard /dev/ubda /tmp/export
chmod 1777 /tmp/export
rmdir /tmp/export/lost+found

rpcbind -w
nfsdcld
exportfs -i -o rw,sync,no_root_squash,no_subtree_check,fsid=0 '*:/tmp/export'
echo "$LEASE" >/proc/fs/nfsd/nfsv4leasetime
echo "$LEASE" >/proc/fs/nfsd/nfsv4gracetime
rpc.nfsd 8
rpc.mountd
