# npm: a package made by init, installed from a local directory, used and tested
set -eu
export npm_config_cache=$PWD/cache npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false npm_config_offline=true
mkdir library application
cd library; npm init -y > /dev/null; echo 'module.exports = n => n * 7;' > index.js
cd ../application; npm init -y > /dev/null
npm install --no-progress ../library > ../install.log 2>&1 || { cat ../install.log; exit 1; }
grep '"library"' package.json
sed -i 's/"test": .*/"test": "node -e \\"process.exit(require(\x27library\x27)(1))\\""/' package.json
node -e 'console.log(require("library")(6))'
npm test --silent || echo "npm test $?"
npm install --no-progress no-such-package > ../install.log 2>&1 || grep -o ENOTCACHED ../install.log | sort -u
