# ffmpeg: a generated clip, transcoded in two ways, looked at and taken apart
set -eu
quiet="-nostdin -hide_banner -loglevel error -y"
ffmpeg $quiet -f lavfi -i testsrc=duration=2:size=160x120:rate=10 -f lavfi -i sine=frequency=440:duration=2 -c:v mpeg4 -c:a aac clip.mp4
ffmpeg $quiet -i clip.mp4 -c:v libx264 -threads 2 -preset ultrafast -c:a libmp3lame clip.mkv
ffprobe -v error -show_entries stream=codec_name,nb_read_frames -count_frames -of csv=p=0 clip.mkv
ffmpeg $quiet -i clip.mkv -vf scale=80:60 -frames:v 3 frame%d.png
file frame1.png frame3.png
ffmpeg $quiet -i clip.mp4 -f rawvideo -pix_fmt gray - | wc -c
ffmpeg $quiet -i nothing.mp4 out.mkv || echo "ffmpeg $?"
