# tmux: a server, a pane, keys, its screen, another window, the end
set -u
export TMUX_TMPDIR=$PWD TERM=screen
t() { tmux -f /dev/null "$@"; }
until_shows() { for _ in $(seq 600); do t capture-pane -p -t "$1" | grep -q "$2" && return; sleep 0.05; done; echo "never shows $2"; t capture-pane -p -t "$1"; }
t new-session -d -s s -x 60 -y 12 "sh -c 'stty size; exec sed -u s,typed,answered,'"
until_shows s '^12 60\|^11 60'
t send-keys -t s 'typed words' Enter
until_shows s 'answered words'
t capture-pane -p -t s | grep -c ' words'
t new-window -t s:1 'sleep 1000'
t list-windows -t s -F '#{window_index} #{window_width}x#{window_height}'
t resize-window -t s:0 -x 40 -y 10; t display-message -p -t s:0 '#{window_width}x#{window_height}'
t kill-server; echo "ended $?"

