# ssh-keygen in all types, signatures with it and with openssl, openssl speed
set -eu
for type in ed25519 ecdsa rsa; do
  ssh-keygen -q -t $type -N '' -C comment -f $type
  ssh-keygen -l -f $type.pub | sed 's/SHA256:[^ ]*/HASH/'
done
stat -c '%a %n' ed25519 ed25519.pub
echo text > text
ssh-keygen -q -Y sign -n file -f ed25519 text 2>/dev/null
echo "me $(cat ed25519.pub)" > allowed
ssh-keygen -Y verify -f allowed -I me -n file -s text.sig < text | sed 's/SHA256:.*/HASH/'
openssl genpkey -algorithm ed25519 -out key 2>/dev/null
openssl req -x509 -new -key key -subj /CN=here -days 1 -out certificate
openssl x509 -in certificate -noout -subject
openssl verify -CAfile certificate certificate
openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in text -out hidden; openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:x -in hidden
openssl speed -seconds 1 -bytes 1024 sha256 2>/dev/null | grep -c '^sha256'
openssl speed -seconds 1 -bytes 1024 -multi 2 -evp aes-128-gcm 2>/dev/null | grep -ciE '^(evp|aes-128-gcm)'
openssl rand -hex 8 | wc -c
