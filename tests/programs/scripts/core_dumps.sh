# A process dies of an abort and of a bad pointer: no core, although the limit would let one be
ulimit -c unlimited 2>/dev/null; ulimit -c
cat > abort.c <<'C'
#include <stdlib.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sys/resource.h>
#include <unistd.h>
int main(int count, char **words)
{
    if (count > 1) { if (words[1][0] == 'a') abort(); *(volatile int *)8 = 1; }
    return 0;
}
C
gcc -o abort abort.c
(./abort a) 2>/dev/null; echo "abort $?"
(./abort s) 2>/dev/null; echo "bad pointer $?"
python3 - <<'P'
import os, subprocess
pid = os.posix_spawn('./abort', ['abort', 'a'], os.environ)
status = os.waitpid(pid, 0)[1]
print(os.WTERMSIG(status), os.WCOREDUMP(status))
P
find . -name core -o -name 'core.*' | wc -l
