# What programs tell about the system: all run, and say what is true inside
set -u
ps -e -o comm= | sort -u | grep -xE "bash|ps"
ps -p $$ -o comm= -o args= -o user= | awk '{print "PID", $1, $2, ($NF != "") ? "USER" : ""}'
top -b -n1 | grep -E '^(Tasks|%Cpu|MiB Mem)' | cut -d: -f1 | sed 's, *$,,'
free -b | awk '/^Mem:/ { print ($2 > 0 && $2 >= $3) ? "memory" : "none" }'
[ "$(free -k | awk '/^Mem:/ {print $2}')" = "$(awk '/^MemTotal/ {print $2}' /proc/meminfo)" ] && echo "free agrees"
exec 9< /etc/hostname; lsof -a -p $$ -d 9 -Fn | grep ^n; lsof -a -p $$ -d cwd -Fn | sed -n 's/^n//p' | grep -qx "$(pwd -P)" && echo "lsof knows"
mount | grep -c ' on /proc type proc '
findmnt -n -o FSTYPE /proc
[ "$(nproc)" = "$(grep -c ^processor /proc/cpuinfo)" ] && echo "nproc agrees"
df --output=target / | tail -1; df -k . > /dev/null && echo "df $?"
ip -o addr show lo | grep -o 'inet 127.0.0.1/8'
ip -o link show lo | grep -o '<LOOPBACK,UP,LOWER_UP>'
getent passwd root | cut -d: -f1,3; getent hosts localhost | awk '{print $NF}'; getent group root | cut -d: -f1,3
uptime > /dev/null && vmstat > /dev/null && pmap $$ | tail -1 | cut -d' ' -f2; pgrep -x no-such-process; echo "pgrep $?"
