# A repository of 500 files: init, add, commit, branch, merge with and without conflict, log, diff, clone, gc.
set -e
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_NOSYSTEM=1
git init -q -b main repo && cd repo
seq 500 | while read -r n; do d=$((n % 20)); mkdir -p $d; echo "file $n" > $d/$n; done
git add . && git commit -q -m first && git log --oneline
git status --short | wc -l
git checkout -q -b side && seq 20 | while read -r n; do echo changed >> 1/$((n * 20 - 19)); done
git commit -q -am side && git checkout -q main && echo other > other && git add other && git commit -q -m other
git merge -q -m merged side && git log --graph --format='%h %s' | head -n 6
git diff --stat HEAD~1 | tail -n 1
git checkout -q -b conflict HEAD~1 && echo theirs > other && git commit -q -am theirs
git checkout -q main && echo ours > other && git commit -q -am ours
git merge conflict > merge.log || echo "conflict $?"
grep -c CONFLICT merge.log; rm merge.log
cat other | sed 's/^\([<>]*\) .*/\1/'
git checkout -q --ours other && git add other && git commit -q -m resolved
git tag v1 && git describe --tags
git stash -q 2>&1; git gc -q && git fsck 2>&1 | wc -l
cd .. && git clone -q repo copy && cd copy && git rev-parse HEAD && git ls-files | wc -l
git -c advice.detachedHead=false checkout -q v1~2 && git log -1 --format=%s && git blame -s 0/20 | cut -c1-8,20-
git grep -c changed v1 -- 1 | wc -l
