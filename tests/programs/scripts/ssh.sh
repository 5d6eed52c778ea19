# sshd with separated privileges on loopback: a command, a terminal, a stream, a wrong key
set -u
ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f mine; ssh-keygen -q -t ed25519 -N '' -f other
mkdir -p /run/sshd
/usr/sbin/sshd -D -e -p 2299 -o ListenAddress=127.0.0.1 -o HostKey="$PWD/host" -o AuthorizedKeysFile="$PWD/mine.pub" \
    -o StrictModes=no -o PidFile=none -o UsePAM=no -o PermitRootLogin=yes 2> log & server=$!
for _ in $(seq 600); do (exec 3<> /dev/tcp/127.0.0.1/2299) 2> /dev/null && break; sleep 0.05; done
there() { ssh -q -p 2299 -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes "$@"; }
there -i mine root@127.0.0.1 'echo there $((6*7)); exit 5'; echo "ssh $?"
there -i mine -tt root@127.0.0.1 'tty | sed "s,[0-9]*$,N,"' < /dev/null | tr -d '\r'
seq 100000 | there -i mine root@127.0.0.1 cksum
there -i other root@127.0.0.1 true; echo "another key $?"
kill $server; wait $server; echo "ended $?"
