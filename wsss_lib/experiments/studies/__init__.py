"""Measurements that take longer than a chapter may: run once, written to ``results/``, read by the book.

    python -m wsss_lib.experiments.studies world          # what the world is worth: classifier, CAM, an upper bound
    python -m wsss_lib.experiments.studies dials          # CAM while a dial of the world is turned
    python -m wsss_lib.experiments.studies methods        # the maps of chapters 1 and 2 on one classifier
    python -m wsss_lib.experiments.studies bas            # chapter 3: also bas_observation, _ablation, _safeguard, _settings, _dial
    python -m wsss_lib.experiments.studies sat            # chapter 4: also sat_ablation, _settings, _dial, _spread, _maps
    python -m wsss_lib.experiments.studies seam           # chapter 5: also seam_settings
    python -m wsss_lib.experiments.studies together       # chapter 12: every method's maps of the same eight images

Three seeds each; a seed decides the drawn world, the head's weights, the order of the images and their flips.
"""
