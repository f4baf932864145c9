"""Measurements that take longer than a chapter may: run once, written to ``results/``, read by the book.

    python -m wsss_lib.experiments.studies world sat_dial    # one or several, by name

- ``world``: what the world is worth: classifier, CAM, an upper bound
- ``dials``: CAM while a dial of the world is turned
- ``methods``: the maps of chapters 1 and 2 on one classifier
- ``bas``, and ``bas_observation``, ``_ablation``, ``_safeguard``, ``_settings``, ``_timing``, ``_dial``:
  chapter 3
- ``sat``, and ``sat_ablation``, ``_settings``, ``_dial``, ``_spread``, ``_maps``: chapter 4
- ``seam``, ``seam_settings``: chapter 5
- ``ssc``, ``ssc_parts``, ``ssc_collapse``: chapter 6
- ``esol``, and ``esol_controls``, ``_collapse``, ``_settings``, ``_dial``: chapter 7
- ``mars``, and ``mars_methods``, ``_dial``, ``_thresholds``, ``_companions``, ``_cost``: chapter 8
- ``ladder``, ``ladder_dial``, ``ladder_mars``, ``ladder_mars_methods``: chapter 9, from seeds to a network
- ``dtmr``, ``dtmr_longer``, ``dtmr_cost``: chapter 10, sentences
- ``point_detr3d``, and ``point_detr3d_02``, ``_10``, ``_20``, shares of labels in per cent: chapter 11
- ``together``: chapter 12, every method's maps of the same eight images
- ``supervision``, ``supervision_sentences``: chapter 12, one network by what it was told: labels, points, boxes, masks;
  sentences and the regions that they mean
- ``dtmr_coco``: chapter 10 on photographs, sentences made by a program; ``dtmr_refcoco``: by people
- ``dtmr_english``: chapter 10, triads of free English by a parser
- ``coco``, ``coco_taught``: photographs of MS COCO, with what was learnt and chosen on VOC, or learnt on themselves

Three seeds each; a seed decides the drawn world, the head's weights, the order of the images and their flips.
"""
