"""From detections to figures: COCO's tables, matches of single detections, intervals."""
