# sed, awk, perl, grep, sort and xargs on text they make themselves.
set -e
seq 1 3000 | awk '{print $1, $1 % 7, "word" $1 * 31 % 101}' > data
awk '{sum[$2] += $1} END {for (k = 0; k < 7; k++) print k, sum[k]}' data
awk -F' ' 'BEGIN {while (("echo from a command" | getline line) > 0) print line; close("echo from a command")}
     NR == 10 {print toupper($3), length($0) > "out.txt"} END {print NR | "cat"}' data
cat out.txt
sed -e '5q' -e 's/word\([0-9]*\)/<\1>/' data
sed -i '1,2990d' data && wc -l < data
perl -lane '$h{$F[1]}++; END {print join ",", map {"$_=$h{$_}"} sort keys %h}' data
perl -e 'open(my $p, "-|", "sort", "-rn", "data") or die $!; my $n = () = <$p>; print "piped $n\n"; close $p;
         my $pid = fork(); if (!$pid) { exit 5 } waitpid($pid, 0); print "child ", $? >> 8, "\n";
         local $SIG{ALRM} = sub { die "alarm\n" }; alarm 1; eval { select(undef, undef, undef, 10) }; print "got $@";
         print -s "data", " ", (stat "data")[7] == -s _ ? "same" : "differs", "\n";'
perl -MTime::HiRes=usleep -MPOSIX=:sys_wait_h -MSocket -e 'socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die;
         syswrite $a, "hi"; sysread $b, my $t, 9; print "$t\n"; print POSIX::uname() ? "uname\n" : "";'
grep -E '^29.*3 ' data | sort -k3 | cut -d' ' -f1,3
printf '%s\n' b a c | xargs -n1 -P3 echo | sort
