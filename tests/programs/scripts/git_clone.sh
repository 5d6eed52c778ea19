# git: a clone over file://, a shallow one, a push back, a repack
set -eu
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
git init -q -b main source
cd source
for i in $(seq 50); do mkdir -p d$i; seq $i > d$i/file; done
git add .; git commit -qm one; seq 1000 > more; git add .; git commit -qm two
cd ..
git clone -q --bare "file://$PWD/source" bare.git
git clone -q "file://$PWD/bare.git" clone
git clone -q --depth 1 "file://$PWD/bare.git" shallow
git -C shallow log --oneline | wc -l
cd clone
git ls-files | wc -l
echo change >> more; git commit -qam three; git push -q origin main
git -C ../bare.git rev-parse main
git -C ../bare.git gc -q; git -C ../bare.git fsck 2>&1
git -C ../shallow pull -q && tail -1 ../shallow/more
