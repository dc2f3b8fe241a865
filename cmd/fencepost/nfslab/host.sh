# What makes a process with namespaces of its own a host: NAME, ADDR, VERS,
# PORT, OPTIONS. Its first process is the guest's program.
set -e
hostname "$NAME"
ip link set lo up
ip addr add "$ADDR/24" dev eth0
ip link set eth0 up
for dir in /run /tmp /var/tmp /var/lib/nfs /dev/shm; do
	case $dir in
	/run) keep=$(mktemp -d /mnt/keep.XXXXXX); mount --bind /run "$keep"; mount -t tmpfs -o mode=755 tmpfs /run
		cp "$keep/nfslab" /run/; umount "$keep"; rmdir "$keep" ;;
	*) mount -t tmpfs -o mode=1777 tmpfs $dir ;;
	esac
done
mkdir -p /var/lib/nfs/rpc_pipefs /var/lib/nfs/sm /var/lib/nfs/sm.bak /run/sendsigs.omit.d
mount -t rpc_pipefs rpc_pipefs /var/lib/nfs/rpc_pipefs
if [ "$VERS" = 3 ]; then
	rpcbind -w
	rpc.statd --no-notify
fi
mount -t nfs -o "vers=$VERS,proto=tcp,sec=sys,port=$PORT${OPTIONS:+,$OPTIONS}" 10.9.0.1:"$EXPORT" /mnt/spool
